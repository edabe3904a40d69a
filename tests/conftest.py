"""What holds for all tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Tests don't assert wall time: a slow machine is no counterexample.
settings.register_profile("spendfuse", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("spendfuse")
