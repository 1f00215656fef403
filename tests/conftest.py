"""How all tests run: no test depends on how busy the computer is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "any-computer", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-computer")
