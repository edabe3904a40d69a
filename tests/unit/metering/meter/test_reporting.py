"""A report without a meter: said once, raised never."""

from __future__ import annotations

import logging

from spendfuse.metering import report_usage
from spendfuse.metering.reporting import _warn_once


def test_a_report_that_nobody_takes_is_said_once_and_raises_nothing(caplog) -> None:
    _warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        taken = [report_usage("gpt-4o", {"prompt_tokens": 9}) for _ in range(3)]

    assert taken == [False, False, False]
    (message,) = caplog.messages
    assert "put the middleware around the app" in message
