from __future__ import annotations

import logging

import pytest
from unit.metering.sinks.rigs import a_record

from spendfuse.metering.record import Record
from spendfuse.metering.sinks.direct import DirectSink, UndeliverableError
from spendfuse.metering.sinks.fan_out import FanOut
from spendfuse.metering.sinks.sink import SinkHealth


class Kept:
    def __init__(self, name: str = "kept") -> None:
        self.name = name
        self.records: list[Record] = []
        self.timeouts: list[float] = []

    def emit(self, record: Record) -> None:
        self.records.append(record)

    def flush(self, timeout_seconds: float) -> bool:
        self.timeouts.append(timeout_seconds)
        return True

    def close(self, timeout_seconds: float) -> None:
        self.timeouts.append(timeout_seconds)

    def health(self) -> SinkHealth:
        return SinkHealth(accepted=len(self.records), delivered=len(self.records))


class Broken(Kept):
    def emit(self, record: Record) -> None:
        raise ValueError(f"a secret of {record.id}")

    def flush(self, timeout_seconds: float) -> bool:
        raise OSError(5, "Input/output error")

    def close(self, timeout_seconds: float) -> None:
        raise OSError(5, "Input/output error")


class Silent(Kept):
    def health(self) -> SinkHealth:
        raise ValueError("no health today")


def test_every_sink_gets_every_record() -> None:
    first, second = Kept(), Kept()
    fan = FanOut([first, second])
    fan.emit(a_record("r-1"))

    assert [record.id for record in first.records + second.records] == ["r-1", "r-1"]


def test_a_sink_that_raises_keeps_no_record_from_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = Kept()
    fan = FanOut([Broken("broken"), kept])
    with caplog.at_level(logging.ERROR):
        for number in range(3):
            fan.emit(a_record(f"r-{number}"))

    assert len(kept.records) == 3
    assert fan.health()["broken"] == SinkHealth(accepted=3, dropped=3, last_error="ValueError")
    assert len(caplog.records) == 1
    assert "secret" not in caplog.text


def test_sinks_of_one_kind_are_told_apart() -> None:
    fan = FanOut([Kept("jsonl"), Kept("jsonl"), Kept("print"), Kept("jsonl")])

    assert list(fan.health()) == ["jsonl", "jsonl-2", "print", "jsonl-3"]


def test_a_sink_that_can_t_be_flushed_keeps_none_from_being_flushed() -> None:
    kept = Kept()
    fan = FanOut([Broken("broken"), kept])

    assert not fan.flush(1)
    assert len(kept.timeouts) == 1
    fan.close(1)
    assert len(kept.timeouts) == 2
    assert fan.health()["broken"].last_error == "OSError: Input/output error"


def test_sinks_share_the_time() -> None:
    sinks = [Kept(), Kept(), Kept()]
    FanOut(sinks).flush(9)

    assert 2.5 < sinks[0].timeouts[0] <= 3
    assert 4 < sinks[1].timeouts[0] <= 4.5
    assert 8 < sinks[2].timeouts[0] <= 9


def test_a_sink_without_health_is_told_of() -> None:
    assert FanOut([Silent("silent")]).health() == {"silent": SinkHealth(last_error="ValueError")}


def test_no_sink_at_all_is_fine() -> None:
    fan = FanOut([])
    fan.emit(a_record())

    assert fan.flush(1)
    fan.close(1)
    assert fan.health() == {}


class Target:
    def __init__(self) -> None:
        self.error: Exception | None = None
        self.ids: list[str] = []
        self.attempts = 0

    def __call__(self, record: Record) -> None:
        self.attempts += 1
        if self.error:
            raise self.error
        self.ids.append(record.id)


def test_what_waits_is_delivered_in_its_order() -> None:
    target = Target()
    sink = DirectSink("target", target)
    target.error = OSError(5, "Input/output error")
    for number in range(5):
        sink.emit(a_record(f"r-{number}"))
    target.error = None
    sink.emit(a_record("r-5"))

    assert target.ids == [f"r-{number}" for number in range(6)]


def test_no_single_call_pays_for_the_whole_backlog() -> None:
    target = Target()
    sink = DirectSink("target", target)
    target.error = OSError(5, "Input/output error")
    for number in range(100):
        sink.emit(a_record(f"r-{number}"))
    target.error = None
    target.attempts = 0
    sink.emit(a_record("next"))

    assert target.attempts == 10


def test_what_waits_is_bounded() -> None:
    target = Target()
    sink = DirectSink("target", target, kept_records=3)
    target.error = OSError(5, "Input/output error")
    for number in range(10):
        sink.emit(a_record(f"r-{number}"))

    health = sink.health()
    assert (health.accepted, health.waiting, health.dropped) == (10, 3, 7)
    assert health.last_error == "OSError: Input/output error"


def test_what_can_never_be_delivered_is_not_tried_again() -> None:
    target = Target()
    sink = DirectSink("target", target)
    target.error = UndeliverableError("too long")
    sink.emit(a_record())
    sink.flush(1)

    assert target.attempts == 1
    assert (sink.health().dropped, sink.health().last_error) == (1, "too long")


def test_an_outage_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    target = Target()
    sink = DirectSink("target", target)
    with caplog.at_level(logging.WARNING):
        for error in (OSError(5, "gone"), OSError(5, "gone"), None, OSError(5, "gone")):
            target.error = error
            sink.emit(a_record())
            sink.flush(1)

    assert [record.getMessage() for record in caplog.records] == [
        "sink target fails (OSError: gone); up to 1000 records wait in memory"
    ] * 2
