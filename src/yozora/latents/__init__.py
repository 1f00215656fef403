"""Clips as latents: encoded once, keyed by content, grouped into buckets of one shape."""
