"""Every run of a function is measured, as on AWS, whoever started it.

The emulator measures those that an API call starts, and none of a schedule's, a queue's or a
stream's: all of ours. Their heartbeat would seem to stop, and their errors would ring nobody.
"""
# ruff: noqa: SLF001 - to mend the emulator is to reach into it

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ministack.services import lambda_svc


def mend() -> None:
    """Take the place of the emulator's own."""
    emit = lambda_svc._emit_lambda_metrics
    dispatch = lambda_svc._execute_function_dispatch

    def run(function: Any, config: Mapping[str, Any], *rest: Any) -> Any:
        began = time.monotonic()
        result = dispatch(function, config, *rest)
        name, milliseconds = config["FunctionName"], 1000 * (time.monotonic() - began)
        emit(name, milliseconds, error=bool(result.get("error")), throttle=False)
        return result

    def emit_throttle(name: str, duration_ms: float, *, error: bool, throttle: bool) -> None:
        # What ran was measured when it ran; an API call that was throttled is told of twice.
        if throttle and not duration_ms:
            emit(name, duration_ms, error=error, throttle=throttle)

    lambda_svc._execute_function_dispatch = run
    lambda_svc._emit_lambda_metrics = emit_throttle
