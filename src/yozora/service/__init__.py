"""Models for others: an OpenAI-Videos-compatible endpoint with keys, quotas, bills and a playground."""
