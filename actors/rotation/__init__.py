"""Rotation: new secrets for old ones while the studio goes on, a step at a time."""
