"""One adapter a file, all of the same shape; a new peer is a file here and its name below."""

NAMES = ("bare", "limner", "graphile", "pgqueuer", "awa", "oban", "chancy", "procrastinate")
