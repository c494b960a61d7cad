"""Mails: one file of words per template and language, and how a letter is made from them."""
