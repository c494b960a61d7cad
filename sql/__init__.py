"""The truth: nouns, their statements, and the rules that guard them."""
