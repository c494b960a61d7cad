"""Painters: one file for each outside service that makes pictures, all of the same shape."""
