from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ReadTimeoutError,
)
from moto import mock_aws

from spendfuse.clock import parse_utc
from spendfuse.errors import InputError, SettingsError, SpendfuseError, UnavailableError
from spendfuse.ledger.pack import read_pack
from spendfuse.metering.record import Record
from spendfuse.metering.sinks import Wiring
from spendfuse.metering.sinks.background import Pace
from spendfuse.metering.sinks.outbox import MAX_PACKS
from spendfuse.metering.sinks.sender import MAX_REQUEST_BYTES
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.sqs import SqsQueue, SqsSink, open_sink, sqs_client
from spendfuse.metering.usage import Usage

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/pack.schema.json").read_text())
URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/usage"
QUICK = Pace(
    linger_seconds=0.002,
    first_retry_seconds=0.002,
    longest_retry_seconds=0.01,
    settings_retry_seconds=0.01,
)
# Packs are made by a flush only, and tried again at once.
EAGER = Pace(
    linger_seconds=3600,
    first_retry_seconds=0.002,
    longest_retry_seconds=0.01,
    settings_retry_seconds=0.01,
)
# Each record is a pack of its own, sent at once; a failure is not tried again.
ONE_BY_ONE = Pace(batch=1, first_retry_seconds=3600, longest_retry_seconds=3600)
# Nothing happens by itself: only a flush sends, or tries again.
STILL = Pace(
    linger_seconds=3600,
    first_retry_seconds=3600,
    longest_retry_seconds=3600,
    settings_retry_seconds=3600,
)


def client_error(code: str, status: int = 400) -> ClientError:
    response = {
        "Error": {"Code": code, "Message": "as AWS says it"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "SendMessageBatch")


UNREACHABLE = EndpointConnectionError(endpoint_url="https://sqs")
NO_QUEUE = client_error("AWS.SimpleQueueService.NonExistentQueue")


class StandIn:
    """A queue's client that does what it is told, request by request; then it works."""

    def __init__(self, *plan: Exception | Callable[[list[str]], Any]) -> None:
        self.plan = list(plan)
        self.broken: Exception | None = None
        self.requests: list[list[str]] = []
        self.stored: list[str] = []
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True

    def send_message_batch(
        self,
        *,
        QueueUrl: str,  # noqa: N803
        Entries: Sequence[Mapping[str, str]],  # noqa: N803
    ) -> Mapping[str, Any]:
        bodies = [entry["MessageBody"] for entry in Entries]
        self.requests.append(bodies)
        step = self.broken or (self.plan.pop(0) if self.plan else None)
        if isinstance(step, Exception):
            raise step
        answer = step(bodies) if step else None
        if answer is None:
            self.stored += bodies
            answer = {"Successful": [{"Id": entry["Id"]} for entry in Entries]}
        return answer

    @property
    def pack_ids(self) -> list[str]:
        return [json.loads(body)["id"] for body in self.stored]

    def counted(self) -> Counter[str]:
        """Return how often each record counts: a pack id is counted once."""
        packs, received_at = {}, datetime.now(UTC)
        for body in self.stored:
            pack = read_pack(body, received_at=received_at)
            assert pack.rejected == ()
            assert packs.setdefault(pack.id, pack) == pack
        return Counter(record.id for pack in packs.values() for record in pack.records)


def lost_answer(client: StandIn) -> Callable[[list[str]], Any]:
    def store_and_fail(bodies: list[str]) -> Any:
        client.stored += bodies
        raise ReadTimeoutError(endpoint_url="https://sqs")

    return store_and_fail


def failing(*positions: int, code: str = "InternalError", fault: bool = False) -> Any:
    """Return a step that fails these entries, and leaves the rest to be stored by ``client``."""

    def step(client: StandIn) -> Callable[[list[str]], Any]:
        def answer(bodies: list[str]) -> Any:
            good = [each for each in range(len(bodies)) if each not in positions]
            client.stored += [bodies[each] for each in good]
            failed = [
                {"Id": str(each), "Code": code, "SenderFault": fault, "Message": "no"}
                for each in positions
                if each < len(bodies)
            ]
            return {"Successful": [{"Id": str(each)} for each in good], "Failed": failed}

        return answer

    return step


def a_record(id: str = "r") -> Record:
    usage = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)
    return Record(id, datetime.now(UTC), "openai", "gpt-4o", usage, 1_234_567, {"user": "u1"})


def until(is_so: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def opened() -> Iterator[list[SqsSink]]:
    sinks: list[SqsSink] = []
    yield sinks
    for each in sinks:
        each.close(0)


@pytest.fixture
def a_sink(opened: list[SqsSink]) -> Callable[..., SqsSink]:
    def open_one(client: StandIn, folder: Path | None = None, **over: Any) -> SqsSink:
        sink = SqsSink(lambda: client, URL, spill_folder=folder, **({"pace": STILL} | over))
        opened.append(sink)
        return sink

    return open_one


Opener = Callable[..., SqsSink]


def emit(sink: Sink, *ids: str) -> None:
    for each in ids:
        sink.emit(a_record(each))


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.json"))


def test_records_arrive_in_packs_of_the_published_schema(a_sink: Opener) -> None:
    client = StandIn()
    sink = a_sink(client)
    emit(sink, *map(str, range(1200)))

    assert sink.flush(10)
    for body in client.stored:
        jsonschema.validate(json.loads(body), SCHEMA)
    assert client.counted() == Counter(map(str, range(1200)))
    assert len(client.stored) == 3
    health = sink.health()
    assert (health.accepted, health.delivered, health.waiting) == (1200, 1200, 0)


def test_records_arrive_without_a_flush(a_sink: Opener) -> None:
    client = StandIn()
    sink = a_sink(client, pace=QUICK)

    emit(sink, "a")

    until(lambda: client.counted() == {"a": 1})


def test_a_working_queue_touches_no_disk(a_sink: Opener, tmp_path: Path) -> None:
    sink = a_sink(StandIn(), tmp_path)
    emit(sink, "a")

    assert sink.flush(10)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_queue_spills_whole_packs_which_count_as_safe(
    a_sink: Opener, tmp_path: Path
) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path)
    emit(sink, *map(str, range(600)))

    assert sink.flush(10)
    assert [json.loads(each.read_text())["schema"] for each in files(tmp_path)] == [1, 1]
    assert (sink.health().waiting, sink.health().dropped) == (600, 0)


def test_the_spill_is_sent_when_the_queue_works_again(a_sink: Opener, tmp_path: Path) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path, pace=QUICK)
    emit(sink, *map(str, range(2000)))
    sink.flush(10)
    spilled = {json.loads(each.read_text())["id"] for each in files(tmp_path)}

    client.broken = None

    until(lambda: sink.health().delivered == 2000)
    assert client.counted() == Counter(map(str, range(2000)))
    assert spilled <= set(client.pack_ids)
    assert files(tmp_path) == []


def test_packs_of_a_dead_process_are_sent_by_the_next(a_sink: Opener, tmp_path: Path) -> None:
    dead = StandIn()
    dead.broken = UNREACHABLE
    first = a_sink(dead, tmp_path)
    emit(first, "a", "b")
    first.close(10)
    client = StandIn()
    second = a_sink(client, tmp_path)

    emit(second, "c")
    second.flush(10)

    until(lambda: client.counted() == {"a": 1, "b": 1, "c": 1})
    until(lambda: files(tmp_path) == [])


def test_a_pack_keeps_its_id_and_gets_a_new_time_of_sending(a_sink: Opener, tmp_path: Path) -> None:
    client = StandIn(UNREACHABLE)
    times = iter(datetime(2026, 11, 21, 12, second, tzinfo=UTC) for second in range(60))
    sink = a_sink(client, tmp_path, now=lambda: next(times))
    emit(sink, "a")
    sink.flush(10)
    sink.flush(10)

    until(lambda: client.stored)
    first, second = (json.loads(request[0]) for request in client.requests)
    assert parse_utc(first.pop("sent_at")) < parse_utc(second.pop("sent_at"))
    assert first == second


def test_a_lost_answer_counts_once(a_sink: Opener, tmp_path: Path) -> None:
    for folder in (None, tmp_path):
        client = StandIn()
        client.plan = [lost_answer(client), lost_answer(client)]
        sink = a_sink(client, folder, pace=EAGER)
        emit(sink, "a", "b")
        sink.flush(10)

        until(lambda: sink.health().delivered == 2)  # noqa: B023
        assert len(client.stored) == 3
        assert client.counted() == {"a": 1, "b": 1}


@pytest.mark.parametrize("on_disk", [True, False])
def test_entries_that_failed_are_sent_again_alone(
    on_disk: bool, a_sink: Opener, tmp_path: Path
) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path if on_disk else None, pace=EAGER)
    for each in "abcde":
        emit(sink, each)
        sink.flush(0.05)
    client.plan = [lambda _: None, failing(0, 2)(client), failing(1)(client)]
    client.broken = None

    until(lambda: sink.health().delivered == 5)
    assert client.counted() == Counter("abcde")
    assert len(client.stored) == 5


def test_an_entry_that_the_answer_does_not_name_is_sent_again(a_sink: Opener) -> None:
    client = StandIn(lambda _: {})
    sink = a_sink(client, pace=EAGER)
    emit(sink, "a")

    assert sink.flush(10)
    assert len(client.requests) == 2


def test_a_request_stays_within_the_queues_limits(a_sink: Opener, tmp_path: Path) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path)
    long = "x" * 250
    many = {str(number): long for number in range(40)}
    for number in range(400):
        sink.emit(a_record(str(number))._replace(attributes=many))
    for number in range(30):
        emit(sink, f"small-{number}")
        sink.flush(10)
    client.broken = None
    client.requests.clear()

    sink.flush(10)

    until(lambda: sink.health().delivered == 430)
    sizes = [[len(body) for body in request] for request in client.requests]
    assert max(map(sum, sizes)) <= MAX_REQUEST_BYTES
    assert max(map(len, sizes)) == 10
    assert max(map(max, sizes)) <= 240_000
    assert max(map(sum, sizes)) > 600_000


def test_a_request_from_memory_stays_within_them_too(a_sink: Opener) -> None:
    gate = threading.Event()
    client = StandIn(lambda _: gate.wait(10) and None)
    sink = a_sink(client, pace=replace(ONE_BY_ONE, batch=20))
    many = {str(number): "x" * 250 for number in range(40)}
    for number in range(400):
        sink.emit(a_record(str(number))._replace(attributes=many))
    until(lambda: sink._background.health().waiting == 0)
    gate.set()

    until(lambda: sink.health().delivered == 400)
    sizes = [sum(map(len, request)) for request in client.requests]
    assert 600_000 < max(sizes) <= MAX_REQUEST_BYTES


def test_records_of_many_api_keys_go_in_few_packs(a_sink: Opener) -> None:
    client = StandIn()
    sink = a_sink(client)
    for number in range(400):
        sink.emit(a_record(str(number))._replace(attributes={"key_id": f"k{number % 40}"}))

    assert sink.flush(10)
    assert len(client.stored) == 4
    assert client.counted() == Counter(map(str, range(400)))


def test_what_waits_behind_a_failure_and_what_comes_after_it_goes_to_disk(
    a_sink: Opener, tmp_path: Path
) -> None:
    gate = threading.Event()

    def hang(_: list[str]) -> None:
        gate.wait(10)
        raise ReadTimeoutError(endpoint_url="https://sqs")

    sink = a_sink(StandIn(hang), tmp_path, pace=ONE_BY_ONE)
    emit(sink, "a", "b", "c")
    until(lambda: sink._background.health().waiting == 0)
    before = files(tmp_path)
    gate.set()
    until(lambda: len(files(tmp_path)) == 3)
    emit(sink, "d")

    until(lambda: len(files(tmp_path)) == 4)
    assert before == []
    assert not sink._sender.is_holding()


def test_a_request_too_long_for_the_queue_is_sent_one_by_one(
    a_sink: Opener, tmp_path: Path
) -> None:
    def limited(bodies: list[str]) -> None:
        if len(bodies) > 1:
            raise client_error("AWS.SimpleQueueService.BatchRequestTooLong")

    client = StandIn(*[limited] * 10)
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path)
    for each in "abcd":
        emit(sink, each)
        sink.flush(10)
    client.broken = None

    sink.flush(10)

    until(lambda: client.counted() == Counter("abcd"))
    assert sink.health().dropped == 0


def test_a_pack_that_is_never_taken_holds_up_no_other(
    a_sink: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse_a(bodies: list[str]) -> Any:
        if any('"id":"a"' in body for body in bodies):
            raise client_error("InvalidMessageContents")

    client = StandIn(*[refuse_a] * 20)
    sink = a_sink(client, tmp_path, pace=QUICK)
    emit(sink, "a")
    refused = sink.flush(10)
    emit(sink, "b")

    assert (refused, sink.flush(10)) == (True, True)
    until(lambda: client.counted() == {"b": 1})
    assert len(files(tmp_path)) == 1
    assert (sink.health().waiting, sink.health().dropped) == (1, 0)
    assert caplog.text.count("stays on disk until the next start: InputError") == 1


def test_without_a_folder_a_pack_that_is_never_taken_is_dropped_and_counted(
    a_sink: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    sink = a_sink(StandIn(client_error("InvalidMessageContents")))
    emit(sink, "a")

    assert sink.flush(10)
    assert (sink.health().waiting, sink.health().dropped) == (0, 1)
    until(lambda: "is dropped: InputError" in caplog.text)


def test_a_queue_that_is_gone_is_said_once_and_loses_nothing(
    a_sink: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    client = StandIn(*[NO_QUEUE] * 5)
    sink = a_sink(client, tmp_path, pace=QUICK)
    emit(sink, "a")

    assert sink.flush(10)
    until(lambda: client.counted() == {"a": 1})
    until(lambda: "takes packs again" in caplog.text)
    assert caplog.text.count("NonExistentQueue") == 1
    assert "see that the queue exists" in caplog.text
    assert "123456789012" not in caplog.text


def test_a_hung_queue_does_not_keep_a_flush_from_making_packs_safe(
    a_sink: Opener, tmp_path: Path
) -> None:
    gate = threading.Event()
    client = StandIn(lambda _: gate.wait(10) and None)
    sink = a_sink(client, tmp_path)
    emit(sink, "a")

    flushed = sink.flush(0.2)
    on_disk = len(files(tmp_path))
    gate.set()

    assert (flushed, on_disk) == (True, 1)
    # Delivered after all: then its copy goes.
    until(lambda: sink.health().delivered == 1)
    until(lambda: files(tmp_path) == [])
    assert client.counted() == {"a": 1}


def test_a_hung_queue_that_fails_in_the_end_leaves_one_copy(a_sink: Opener, tmp_path: Path) -> None:
    gate = threading.Event()

    def hang(_: list[str]) -> None:
        gate.wait(10)
        raise ConnectTimeoutError(endpoint_url="https://sqs")

    sink = a_sink(StandIn(hang), tmp_path)
    emit(sink, "a")
    sink.flush(0.2)
    gate.set()

    until(lambda: sink.health().failures == 1)
    until(lambda: not sink._sender.is_holding())
    assert len(files(tmp_path)) == 1
    assert sink.health().waiting == 1


def test_without_a_folder_a_flush_says_that_records_are_not_safe(a_sink: Opener) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client)
    emit(sink, "a")

    unsafe = sink.flush(0.1)
    client.broken = None

    assert (unsafe, sink.flush(10)) == (False, True)
    assert client.counted() == {"a": 1}


def test_without_a_folder_memory_is_bounded_and_drops_are_counted(
    a_sink: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    pace = Pace(linger_seconds=0.001, batch=1, max_waiting=50, first_retry_seconds=0.01)
    sink = a_sink(client, pace=pace)
    for number in range(200):
        emit(sink, str(number))
        time.sleep(0.0005)

    until(lambda: sink.health().dropped > 0)
    health = sink.health()
    # Those in memory, the batch at hand, and those on their way.
    assert health.waiting <= 50 + MAX_PACKS + 1 + 10
    assert health.accepted == health.waiting + health.dropped == 200
    assert caplog.text.count("50 records wait already") == 1


def test_a_folder_that_cannot_be_written_is_as_none_and_said_once(
    a_sink: Opener, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path / "file")
    emit(sink, "a")
    unsafe = sink.flush(0.1)
    emit(sink, "b")
    sink.flush(0.1)
    client.broken = None

    assert unsafe is False
    assert sink.flush(10)
    assert client.counted() == {"a": 1, "b": 1}
    assert caplog.text.count("can't be written to disk: NotADirectoryError") == 1


@pytest.mark.parametrize("kind", ["file", "locked"])
def test_a_folder_that_cannot_be_looked_through_is_as_none_and_said_once(
    kind: str,
    a_sink: Opener,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    folder = tmp_path / "spill"
    folder.write_text("in the way") if kind == "file" else monkeypatch.setattr(
        os, "scandir", refuse
    )
    client = StandIn()
    sink = a_sink(client, folder, pace=ONE_BY_ONE, clock=count(0, 10).__next__)
    emit(sink, "a")
    until(lambda: sink.health().delivered == 1)
    client.broken = UNREACHABLE
    emit(sink, "b")
    until(lambda: caplog.text.count("packs are kept"))
    waiting = sink.health()
    client.broken = None

    assert (waiting.accepted, waiting.delivered, waiting.waiting) == (2, 1, 1)
    assert sink.flush(10)
    assert client.counted() == {"a": 1, "b": 1}
    assert files(tmp_path) == []
    assert caplog.text.count("can't be written to disk") == 1
    assert "turn failed" not in caplog.text


def test_a_full_folder_keeps_the_oldest_and_counts_what_it_drops(
    a_sink: Opener, tmp_path: Path
) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client, tmp_path, spill_bytes=1500)
    emit(sink, "a")
    first = sink.flush(10)
    for each in "bcde":
        emit(sink, each)
        last = sink.flush(0.1)
    sink.close(0.1)

    assert (first, last) == (True, False)
    assert next('"id":"a"' in each.read_text() for each in files(tmp_path))
    health = sink.health()
    assert health.waiting + health.dropped == 5
    assert health.dropped >= 2
    assert "SpillFullError" in (health.last_error or "")


def test_closing_sends_what_waits(a_sink: Opener) -> None:
    client = StandIn()
    sink = a_sink(client)
    emit(sink, "a")

    sink.close(10)
    sink.close(10)

    assert client.counted() == {"a": 1}
    assert client.is_closed


def test_closing_without_a_queue_or_a_folder_counts_what_is_lost(
    a_sink: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    client = StandIn()
    client.broken = UNREACHABLE
    sink = a_sink(client)
    emit(sink, "a")

    sink.close(0.1)

    assert (sink.health().dropped, sink.health().waiting) == (1, 0)
    assert "1 records could not be sent in time" in caplog.text


def test_two_queues_share_a_folder_without_mixing_their_packs(
    a_sink: Opener, opened: list[SqsSink], tmp_path: Path
) -> None:
    broken = StandIn()
    broken.broken = UNREACHABLE
    ours = a_sink(broken, tmp_path)
    emit(ours, "a")
    ours.flush(10)
    client = StandIn()
    other = SqsSink(lambda: client, URL + "-of-staging", spill_folder=tmp_path, pace=QUICK)
    opened.append(other)
    emit(other, "b")
    other.flush(10)

    until(lambda: client.counted() == {"b": 1})
    assert other.health().waiting == 0
    assert len(files(tmp_path)) == 1


def test_a_record_that_cannot_be_encoded_is_counted_and_named(
    a_sink: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    client = StandIn()
    sink = a_sink(client)
    sink.emit(a_record("bad")._replace(latency_ms=float("nan")))
    emit(sink, "good")

    assert sink.flush(10)
    assert client.counted() == {"good": 1}
    assert sink.health().dropped == 1
    assert "1 records are dropped: ValueError" in caplog.text


def test_a_forked_child_makes_a_client_of_its_own(opened: list[SqsSink]) -> None:
    made = []

    def connect() -> StandIn:
        made.append(os.getpid())
        return StandIn()

    sink = SqsSink(connect, URL, pace=STILL)
    opened.append(sink)
    emit(sink, "a")
    sink.flush(10)
    child = os.fork()
    if child == 0:
        emit(sink, "b")
        good = sink.flush(10) and made[1:] == [os.getpid()] and sink.health().accepted == 1
        os._exit(0 if good else 1)

    assert os.waitpid(child, 0)[1] == 0
    assert made == [os.getpid()]


def test_a_forked_child_sends_nothing_of_its_parents(opened: list[SqsSink]) -> None:
    gate = threading.Event()
    clients = [StandIn(lambda _: gate.wait(10) and None), StandIn()]
    parents = iter(clients)
    sink = SqsSink(lambda: next(parents), URL, pace=ONE_BY_ONE)
    opened.append(sink)
    emit(sink, "on its way", "in the outbox")
    until(lambda: clients[0].requests and sink._background.health().waiting == 0)
    emit(sink, "in the buffer")
    child = os.fork()
    if child == 0:
        emit(sink, "c")
        good = sink.flush(10) and clients[1].counted() == {"c": 1} and not sink.health().waiting
        os._exit(0 if good else 1)
    gate.set()

    assert os.waitpid(child, 0)[1] == 0
    assert sink.flush(10)
    assert clients[0].counted() == {"on its way": 1, "in the outbox": 1, "in the buffer": 1}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (UNREACHABLE, UnavailableError),
        (ConnectTimeoutError(endpoint_url="https://sqs"), UnavailableError),
        (ReadTimeoutError(endpoint_url="https://sqs"), UnavailableError),
        (client_error("RequestThrottled"), UnavailableError),
        (client_error("AWS.SimpleQueueService.RequestThrottled", 403), UnavailableError),
        (client_error("ThrottlingException"), UnavailableError),
        (client_error("KMS.ThrottlingException"), UnavailableError),
        (client_error("AWS.SimpleQueueService.OverLimit", 403), UnavailableError),
        (client_error("Whatever", 429), UnavailableError),
        (client_error("InternalFailure", 500), UnavailableError),
        (client_error("ServiceUnavailable", 503), UnavailableError),
        (NoCredentialsError(), SettingsError),
        (NO_QUEUE, SettingsError),
        (client_error("QueueDoesNotExist"), SettingsError),
        (client_error("AccessDenied", 403), SettingsError),
        (client_error("AccessDeniedException", 403), SettingsError),
        (client_error("InvalidClientTokenId", 403), SettingsError),
        (client_error("ExpiredToken", 403), SettingsError),
        (client_error("KMS.AccessDeniedException"), SettingsError),
        (client_error("SomethingNew"), SettingsError),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, Exception) else "",
)
def test_errors_are_told_apart_by_what_to_do(error: Exception, kind: type[SpendfuseError]) -> None:
    with pytest.raises(kind):
        SqsQueue(StandIn(error), URL).send(["{}"])


def test_a_failed_entry_says_who_is_at_fault() -> None:
    client = StandIn()
    client.plan = [
        failing(0, code="InternalError")(client),
        failing(0, code="AccessDenied", fault=True)(client),
        failing(0, code="InvalidMessageContents", fault=True)(client),
    ]
    queue = SqsQueue(client, URL)

    kinds = [type(queue.send(["{}"])[0]) for _ in range(3)]

    assert kinds == [UnavailableError, SettingsError, InputError]


def test_the_apps_own_client_stays_open() -> None:
    client = StandIn()
    sink = open_sink(Wiring(sqs=client), queue_url=URL)
    emit(sink, "a")

    sink.close(10)

    assert client.counted() == {"a": 1}
    assert not client.is_closed


@mock_aws
def test_packs_reach_sqs_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "made-up")
    client = boto3.client("sqs", region_name="eu-central-1")
    url = client.create_queue(QueueName="usage")["QueueUrl"]
    sink = open_sink(Wiring(sqs=client), queue_url=url, spill_folder=str(tmp_path))
    missing = open_sink(Wiring(), queue_url=url + "-missing", spill_folder=str(tmp_path))
    for number in range(2000):
        sink.emit(a_record(str(number)))
    missing.emit(a_record("lost?"))

    flushed = (sink.flush(10), missing.flush(10))

    packs = []
    while found := client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        packs += [read_pack(each["Body"], received_at=datetime.now(UTC)) for each in found]
    missing.close(1)
    assert flushed == (True, True)
    assert sorted(int(record.id) for pack in packs for record in pack.records) == list(range(2000))
    assert "NonExistentQueue" in (missing.health().last_error or "")
    assert missing.health().waiting == 1


def test_a_client_of_ours_gives_up_soon_and_knows_the_queues_region() -> None:
    client = sqs_client("https://sqs.ap-south-1.amazonaws.com/123456789012/usage")

    config = client.meta.config
    assert client.meta.region_name == "ap-south-1"
    assert (config.connect_timeout, config.read_timeout) == (2, 5)
    assert config.retries["mode"] == "standard"
