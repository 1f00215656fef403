"""Cheap measures of a film that are taken while it is decoded: one file, one tap."""
