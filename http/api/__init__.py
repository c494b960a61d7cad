"""The API under /v1: OpenAI's shapes, so that its clients work unmodified, and ours where it has none."""
