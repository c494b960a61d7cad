"""What the watchman does when he looks around: see, tell, and say good morning."""
