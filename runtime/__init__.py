"""Machinery: actors, mailboxes, storage and settings. It knows nothing of pictures, money or people."""
