"""The actor runtime and its peers, side by side on one durable Postgres: `python -m benchmarks.runtime`."""
