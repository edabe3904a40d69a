"""A refreshed value is never older than it may be, and a failing read stops nobody."""

from __future__ import annotations

import logging
import threading

import pytest

from spendfuse.errors import UnavailableError
from spendfuse.guard.refreshed import Refreshed


class Source:
    """Something to read, a clock, and a way to wait for reads in the background."""

    def __init__(self) -> None:
        self.now = 100.0
        self.value: object = "one"
        self.error: Exception | None = None
        self.reads = 0
        self.has_read = threading.Semaphore(0)
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self) -> object:
        self.may_read.wait(5)
        self.reads += 1
        try:
            if self.error is not None:
                raise self.error
            return self.value
        finally:
            self.has_read.release()

    def wait(self) -> None:
        assert self.has_read.acquire(timeout=5)
        for thread in threading.enumerate():
            if thread.name == "spendfuse thing":
                thread.join(5)

    def refreshed(self) -> Refreshed[object]:
        return Refreshed("thing", self.read, "first", max_age_seconds=2, clock=lambda: self.now)


@pytest.fixture
def source() -> Source:
    return Source()


def test_the_first_call_reads(source: Source) -> None:
    thing = source.refreshed()

    assert thing.would_wait()
    assert thing() == "one"
    assert not thing.would_wait()


def test_a_young_value_is_not_read_again(source: Source) -> None:
    thing = source.refreshed()
    thing()
    source.now += 0.99

    assert thing() == "one"
    assert source.reads == 1


def test_from_half_its_age_it_is_read_in_the_background(source: Source) -> None:
    thing = source.refreshed()
    thing()
    source.wait()
    source.value, source.now = "two", source.now + 1
    source.may_read.clear()

    assert thing() == "one"

    source.may_read.set()
    source.wait()

    assert thing() == "two"
    assert source.reads == 2


def test_a_value_that_is_too_old_is_never_given_out(source: Source) -> None:
    thing = source.refreshed()
    thing()
    source.value, source.now = "two", source.now + 2

    assert thing.would_wait()
    assert thing() == "two"


def test_an_answer_is_as_old_as_its_question(source: Source) -> None:
    thing = source.refreshed()

    def slow() -> object:
        source.now += 1.5
        return "slow"

    source.read = slow  # type: ignore[method-assign]
    thing = source.refreshed()
    thing()
    source.now += 0.6

    assert thing.would_wait()


def test_a_failing_read_leaves_the_last_value_and_is_counted(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    thing = source.refreshed()
    thing()
    source.error, source.now = UnavailableError("no table"), source.now + 2

    assert thing() == "one"
    assert thing.failures == 1
    assert "thing can't be read, the last one holds (1 failures so far): no table" in caplog.text


def test_after_a_failure_nobody_waits_for_the_next_try(source: Source) -> None:
    thing = source.refreshed()
    source.error = UnavailableError("no table")
    thing()
    source.wait()
    source.now += 10
    source.may_read.clear()

    assert not thing.would_wait()
    assert thing() == "first"

    source.may_read.set()
    source.wait()

    assert thing.failures == 2


def test_tries_after_a_failure_are_half_an_age_apart(source: Source) -> None:
    thing = source.refreshed()
    source.error = UnavailableError("no table")
    thing()
    source.now += 0.9
    thing()

    assert source.reads == 1


def test_it_recovers_and_says_so(source: Source, caplog: pytest.LogCaptureFixture) -> None:
    thing = source.refreshed()
    source.error = UnavailableError("no table")
    thing()
    source.wait()
    source.error, source.now = None, source.now + 1
    thing()
    source.wait()

    assert thing() == "one"
    assert "thing can be read again" in caplog.text


def test_a_long_outage_is_said_once_a_minute(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    thing = source.refreshed()
    source.error = UnavailableError("no table")
    for _ in range(61):
        thing()
        if source.has_read.acquire(timeout=0.2):
            source.has_read.release()
            source.wait()
        source.now += 1

    said = [each for each in caplog.records if each.levelno == logging.WARNING]

    assert len(said) == 2
    assert thing.failures == source.reads


def test_an_error_of_the_reader_s_own_breaks_no_request(source: Source) -> None:
    thing = source.refreshed()
    source.error = KeyError("bug")

    assert thing() == "first"
    assert thing.failures == 1


def test_refresh_raises_what_hinders_it(source: Source) -> None:
    thing = source.refreshed()
    source.error = UnavailableError("no table")

    with pytest.raises(UnavailableError, match="no table"):
        thing.refresh()


def test_an_equal_value_stays_the_same_object(source: Source) -> None:
    source.value = ["a"]
    thing = source.refreshed()
    first = thing()
    source.value, source.now = ["a"], source.now + 2

    assert thing() is first


def test_many_that_wait_read_once(source: Source) -> None:
    thing = source.refreshed()
    source.may_read.clear()
    threads = [threading.Thread(target=thing) for _ in range(8)]
    for each in threads:
        each.start()
    source.may_read.set()
    for each in threads:
        each.join(5)

    assert source.reads == 1
