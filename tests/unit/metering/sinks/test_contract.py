"""What every sink promises, asked of each in the table."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from unit.metering.sinks.rigs import METRICS, RIGS, Rig, a_record

from spendfuse.metering.sinks import SINKS
from spendfuse.metering.sinks.sink import SinkHealth

HOSTILE = ("\x00\x1b[31m\n\r\u2028\ud800" + "\U0001f642ü" * 5000)[:10_000]


@pytest.fixture(params=SINKS)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    rig = RIGS[request.param](tmp_path)
    yield rig
    rig.sink.close(5)


def adds_up(health: SinkHealth) -> bool:
    return health.accepted == health.delivered + health.waiting + health.dropped


def test_a_record_arrives(rig: Rig) -> None:
    rig.sink.emit(a_record("r-1"))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1
    assert rig.sink.health() == SinkHealth(accepted=1, delivered=1)


def test_its_cost_arrives_exactly(rig: Rig) -> None:
    rig.sink.emit(a_record(cost_nano_usd=1_000_000_001))
    rig.sink.flush(5)

    shown = {str(cost).lstrip("$") for cost in rig.costs()}
    assert shown
    assert shown <= {"1000000001", "1.000000001"}


def test_no_price_is_never_shown_as_a_cost(rig: Rig) -> None:
    rig.sink.emit(a_record(cost_nano_usd=None, problem="the price book does not know the model"))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1
    assert rig.costs() == []


def test_a_call_that_cost_nothing_is_shown_as_such(rig: Rig) -> None:
    rig.sink.emit(a_record(cost_nano_usd=0))
    rig.sink.flush(5)

    assert rig.costs()


@pytest.mark.parametrize(
    "over",
    [
        {"status": "error", "error_type": "RateLimitError", "latency_ms": None},
        {"status": "cancelled"},
        {"cached": True, "cost_nano_usd": 0},
        {"provider": "", "attributes": {}, "price_version": ""},
    ],
)
def test_a_call_arrives_however_it_ended(rig: Rig, over: dict[str, object]) -> None:
    rig.sink.emit(a_record(**over))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1


@pytest.mark.parametrize("name", ["user", "feature", "environment", "query_type", "mine"])
def test_whatever_an_attribute_holds_its_record_arrives(rig: Rig, name: str) -> None:
    rig.sink.emit(a_record(attributes={name: HOSTILE}))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1
    assert rig.sink.health().dropped == 0


@pytest.mark.parametrize("field", ["model", "provider", "error_type"])
def test_whatever_a_name_holds_its_record_arrives(rig: Rig, field: str) -> None:
    rig.sink.emit(a_record(**{field: HOSTILE}))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1
    assert rig.sink.health().dropped == 0


def test_a_field_that_json_does_not_have_costs_no_record(rig: Rig) -> None:
    rig.sink.emit(a_record(fields={"score": float("nan"), "huge": 10**400, "chunks": 4}))

    assert rig.sink.flush(5)
    assert rig.arrived() == 1


def test_records_come_from_any_thread(rig: Rig) -> None:
    threads = [
        threading.Thread(target=rig.sink.emit, args=(a_record(f"r-{number}"),))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert rig.sink.flush(5)
    assert rig.arrived() == 20
    assert rig.sink.health() == SinkHealth(accepted=20, delivered=20)


def test_what_a_broken_target_refuses_waits_and_arrives_once_it_is_mended(rig: Rig) -> None:
    rig.break_target()
    try:
        for number in range(3):
            rig.sink.emit(a_record(f"r-{number}", model=f"m-{number}"))
        is_flushed = rig.sink.flush(0.2)
        broken = rig.sink.health()
    finally:
        rig.mend_target()

    assert not is_flushed
    assert (broken.accepted, broken.delivered, broken.waiting, broken.dropped) == (3, 0, 3, 0)
    assert broken.failures >= 1
    assert broken.last_error

    assert rig.sink.flush(5)
    assert rig.arrived() == 3
    mended = rig.sink.health()
    assert (mended.accepted, mended.delivered, mended.waiting, mended.dropped) == (3, 3, 0, 0)


def test_what_waited_arrives_before_or_with_the_next_record(rig: Rig) -> None:
    rig.break_target()
    try:
        rig.sink.emit(a_record("r-1", model="m-1"))
        rig.sink.flush(0.2)
    finally:
        rig.mend_target()
    rig.sink.emit(a_record("r-2", model="m-2"))

    assert rig.sink.flush(5)
    assert rig.arrived() == 2


def test_health_adds_up_at_every_moment_of_quiet(rig: Rig) -> None:
    found = [rig.sink.health()]
    rig.sink.emit(a_record("r-1"))
    rig.sink.flush(5)
    found.append(rig.sink.health())
    rig.break_target()
    try:
        for number in range(1500):
            rig.sink.emit(a_record(f"b-{number}", model=f"m-{number}"))
        rig.sink.flush(0.1)
        found.append(rig.sink.health())
    finally:
        rig.mend_target()
    rig.sink.flush(5)
    found.append(rig.sink.health())
    rig.sink.close(5)
    found.append(rig.sink.health())

    assert all(adds_up(health) for health in found)
    assert [health.accepted for health in found] == [0, 1, 1501, 1501, 1501]
    assert found[-1].waiting == 0
    assert found[-1].delivered == rig.arrived()


def test_flushing_and_closing_twice_is_fine(rig: Rig) -> None:
    rig.sink.emit(a_record())

    assert rig.sink.flush(5)
    assert rig.sink.flush(5)
    rig.sink.close(5)
    rig.sink.close(5)
    assert rig.arrived() == 1


def test_a_record_after_the_end_is_counted_and_breaks_nothing(rig: Rig) -> None:
    rig.sink.close(5)
    rig.sink.emit(a_record())
    rig.sink.flush(0.1)

    health = rig.sink.health()
    assert health.accepted == 1
    assert adds_up(health)


@pytest.mark.parametrize("kind", METRICS)
def test_no_metric_knows_a_user(kind: str, tmp_path: Path) -> None:
    rig = RIGS[kind](tmp_path)
    for number in range(3):
        rig.sink.emit(a_record(f"r-{number}", attributes={"user": f"secret-{number}"}))
    rig.sink.flush(5)

    assert rig.arrived() == 3
    assert "secret" not in rig.text()


@pytest.mark.parametrize("kind", METRICS)
def test_ten_thousand_features_make_no_ten_thousand_series(kind: str, tmp_path: Path) -> None:
    rig = RIGS[kind](tmp_path)
    for number in range(10_000):
        rig.sink.emit(
            a_record(f"r-{number}", model=f"m-{number % 7}", attributes={"feature": f"f-{number}"})
        )
    rig.sink.flush(5)

    text = rig.text()
    assert rig.arrived() == 10_000
    assert [f'"f-{number}"' in text for number in (0, 5_000, 9_999)] == [True, False, False]
    assert '"other"' in text


def test_the_name_is_the_kind(rig: Rig) -> None:
    assert rig.sink.name == rig.kind


def test_every_kind_has_a_rig() -> None:
    assert set(RIGS) == set(SINKS)


def test_nothing_happens_when_sinks_are_imported(tmp_path: Path) -> None:
    modules = [kind.opener.split(":")[0] for kind in SINKS.values()]
    code = f"""
import importlib, sys, threading
happened = []
def watch(event, arguments):
    written = event == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
    if written or event in {{"socket.connect", "os.mkdir", "subprocess.Popen"}}:
        happened.append((event, str(arguments[:2])))
sys.dont_write_bytecode = True
vendors = ("boto3", "prometheus_client", "opentelemetry.metrics", "google.cloud.bigquery")
for name in vendors:
    importlib.import_module(name)
sys.addaudithook(watch)
for name in {modules!r}:
    importlib.import_module(name)
import json; print(json.dumps([happened, threading.active_count()]))
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )

    assert json.loads(ran.stdout) == [[], 1]
    assert list(tmp_path.iterdir()) == []
