"""The commands of the service: serve models to others, with keys, limits and bills."""
