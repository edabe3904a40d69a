"""A signal ends a command only after what it started was stopped, and says so."""

from __future__ import annotations

import os
import signal
import time

import pytest

from spendfuse.sandbox.signals import ended_by_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_was_started_is_stopped_before_the_sentence(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    said_while_tidying = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)  # the signal is delivered here
        finally:
            # A second one, while it tidies up.
            os.kill(os.getpid(), number)
            said_while_tidying.append(capsys.readouterr().err)

    with pytest.raises(SystemExit) as ended, ended_by_signals():
        work()

    assert said_while_tidying == [""]
    assert ended.value.code == 128 + number
    assert f"Stopped by {number.name}; nothing is left running." in capsys.readouterr().err


def test_afterwards_signals_do_what_they_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ended_by_signals():
        assert signal.getsignal(signal.SIGTERM) != before

    assert signal.getsignal(signal.SIGTERM) == before
