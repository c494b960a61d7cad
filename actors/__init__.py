"""Occupations: the work that is done when nobody waits."""
