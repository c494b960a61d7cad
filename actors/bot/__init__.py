"""The Telegram admin bot."""
