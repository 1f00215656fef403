"""Clips as content-addressed files, and the catalogue that says what each is and may be used for."""
