from __future__ import annotations

import logging

import pytest

from spendfuse.metering.lambda_handler import flush_after


class Meter:
    def __init__(self, answer: bool | Exception = True) -> None:
        self.answer = answer
        self.timeouts: list[float] = []

    def flush(self, timeout_seconds: float) -> bool:
        self.timeouts.append(timeout_seconds)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Context:
    def __init__(self, milliseconds: int) -> None:
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


def test_usage_is_flushed_before_the_handler_returns() -> None:
    meter = Meter()

    def handler(event: dict[str, int], context: object) -> int:
        """Answer."""
        assert meter.timeouts == []
        return event["n"] + 1

    wrapped = flush_after(handler, meter)

    assert wrapped({"n": 1}, None) == 2
    assert meter.timeouts == [2.0]
    assert (wrapped.__name__, wrapped.__doc__) == ("handler", "Answer.")


def test_usage_of_a_call_that_fails_is_flushed_too_and_its_error_raised() -> None:
    meter = Meter()

    def handler(event: object, context: object) -> None:
        raise KeyError("n")

    with pytest.raises(KeyError, match="n"):
        flush_after(handler, meter)({}, None)
    assert meter.timeouts == [2.0]


@pytest.mark.parametrize(("milliseconds", "seconds"), [(1500, 1.0), (60_000, 2.0), (100, 0.0)])
def test_a_flush_leaves_the_function_time_to_answer(milliseconds: int, seconds: float) -> None:
    meter = Meter()

    flush_after(lambda _event, _context: None, meter)({}, Context(milliseconds))

    assert meter.timeouts == [seconds]


class Odd:
    def __init__(self, remaining: object) -> None:
        self.remaining = remaining

    @property
    def get_remaining_time_in_millis(self) -> object:
        if isinstance(self.remaining, Exception):
            raise self.remaining
        return self.remaining


@pytest.mark.parametrize(
    "context",
    [
        Odd(RuntimeError("no")),
        Odd(1500),
        Odd(lambda: None),
        Odd(lambda: "soon"),
        Odd(lambda: 10**400),
        {},
    ],
    ids=["raises", "no function", "none", "text", "too large", "a dict"],
)
def test_an_odd_context_is_as_none_and_the_answer_stands(context: object) -> None:
    meter = Meter()

    assert flush_after(lambda _event, _context: "answer", meter)({}, context) == "answer"
    assert meter.timeouts == [2.0]


@pytest.mark.parametrize(
    ("answer", "said"),
    [(False, "not all usage was flushed"), (OSError("no disk"), "usage could not be flushed")],
)
def test_a_flush_that_fails_is_said_and_breaks_nothing(
    answer: bool | Exception, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)

    assert flush_after(lambda _event, _context: "answer", Meter(answer))({}, None) == "answer"
    assert said in caplog.text
