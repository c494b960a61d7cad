"""The shipwright: replaces one release by another, and takes it back when the new one is not sound."""
