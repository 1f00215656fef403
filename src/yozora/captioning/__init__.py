"""Captions for clips: from measured facts, from a vision endpoint, or from a local vision-language model."""
