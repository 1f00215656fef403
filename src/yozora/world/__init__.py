"""The synthetic world: scenes as data, exact physics, anti-aliased frames, and captions."""
