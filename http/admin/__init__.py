"""The web admin: one file per screen."""
