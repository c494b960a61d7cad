"""A studio with 100,000 people and 1,000,000 entries in its ledger, and how fast an admin's lists are in it."""
