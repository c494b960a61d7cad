"""Limner's image API beside the LiteLLM proxy, before the same stand-in for OpenAI: python -m benchmarks.gateway."""
