"""Usage queue → ledger: what can't be counted goes where people find it, with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_tables import aws, make_queue, make_table
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws
from packs import NOW, a_pack, a_record

from lambdas.record_usage.handler import DeadLetters, RecordUsage
from lambdas.record_usage.settings import Settings
from spendfuse.budget import Budget
from spendfuse.errors import SettingsError
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb import DynamoLedger

ROOT = Budget("llm", 10**12, "month", ())


@pytest.fixture
def recorder() -> Iterator[RecordUsage]:
    with mock_aws():
        yield RecordUsage(
            ledger=DynamoLedger(aws("dynamodb"), make_table("ledger"), sleep=lambda _: None),
            budgets=(ROOT,),
            dead_letters=DeadLetters(aws("sqs"), make_queue("dead-letters")),
            now=lambda: NOW,
        )


def a_message(body: str, id: str = "m1", *, sent: datetime = NOW) -> dict[str, Any]:
    milliseconds = str(int(sent.timestamp() * 1000))
    attributes = {"SentTimestamp": milliseconds}
    return {"messageId": id, "body": body, "attributes": attributes, "messageAttributes": {}}


def dead_letters(recorder: RecordUsage) -> list[tuple[str, str]]:
    answer = aws("sqs").receive_message(
        QueueUrl=recorder.dead_letters.queue_url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
    )
    return [
        (each["Body"], each["MessageAttributes"]["reason"]["StringValue"])
        for each in answer.get("Messages", [])
    ]


def test_packs_of_one_delivery_are_counted(recorder: RecordUsage) -> None:
    failed = recorder([a_message(a_pack("p1"), "m1"), a_message(a_pack("p2"), "m2")])

    assert failed == []
    assert recorder.ledger.total("llm", "2026-11") == Delta(150_000, 2)


def test_what_is_no_pack_goes_to_the_dead_letters_with_its_reason(recorder: RecordUsage) -> None:
    failed = recorder([a_message("{not json", "m1"), a_message(a_pack("p1"), "m2")])

    assert failed == []
    ((body, reason),) = dead_letters(recorder)
    assert body == "{not json"
    assert "is not JSON" in reason
    assert recorder.ledger.total("llm", "2026-11").requests == 1


def test_a_pack_with_more_keys_than_a_transaction_holds_is_counted_once_too(
    recorder: RecordUsage,
) -> None:
    records = [a_record(f"r{n}", attributes={"key_id": f"k{n}"}) for n in range(120)]
    messages = [a_message(a_pack("big", *records), "m1"), a_message(a_pack("p2"), "m2")]

    assert recorder(messages) == []
    assert recorder(messages) == []
    assert dead_letters(recorder) == []
    assert recorder.ledger.total("llm", "2026-11") == Delta(121 * 75_000, 121)


def test_a_bad_record_is_quarantined_and_the_rest_of_its_pack_counts(
    recorder: RecordUsage,
) -> None:
    failed = recorder([a_message(a_pack("p1", a_record(), a_record("r2", cost_nano_usd=-5)))])
    rows = aws("dynamodb").scan(TableName="ledger")["Items"]
    (row,) = [each for each in rows if each["pk"]["S"].startswith("quarantine#")]

    assert failed == []
    assert row["pk"]["S"] == "quarantine#2026-11-21"
    assert "-5 is negative" in row["reason"]["S"]
    assert json.loads(row["record"]["S"])["id"] == "r2"
    assert recorder.ledger.total("llm", "2026-11").requests == 1


class Unreachable:
    """A service that refuses every call."""

    def __getattr__(self, name: str) -> Any:
        def call(**_: Any) -> None:
            raise ConnectionError(name)

        return call


def test_what_fails_for_now_is_delivered_again_and_then_counts_once(
    recorder: RecordUsage,
) -> None:
    messages = [a_message(a_pack("p1"), "m1"), a_message(a_pack("p2"), "m2")]
    broken = RecordUsage(
        DynamoLedger(Unreachable(), "ledger"), (ROOT,), recorder.dead_letters, lambda: NOW
    )

    assert broken(messages) == ["m1", "m2"]
    assert recorder(messages) == []
    assert recorder(messages) == []
    assert recorder.ledger.total("llm", "2026-11").requests == 2


def test_a_dead_letter_that_can_t_be_kept_holds_up_its_message_alone(
    recorder: RecordUsage,
) -> None:
    broken = RecordUsage(recorder.ledger, (ROOT,), DeadLetters(Unreachable(), "queue"), lambda: NOW)

    assert broken([a_message("no pack", "m1"), a_message(a_pack("p2"), "m2")]) == ["m1"]
    assert recorder.ledger.total("llm", "2026-11").requests == 1


def test_missing_settings_are_named_all_at_once() -> None:
    with pytest.raises(SettingsError, match="set LEDGER_TABLE, DEAD_LETTER_QUEUE_URL in the"):
        Settings.from_env({})


# What an hour-slow clock and a redrive have in common


def an_evening_pack() -> str:
    return a_pack("p1", a_record(at="2026-10-31T23:30:00Z"), sent_at="2026-10-31T23:30:00Z")


MIDNIGHT_THIRTY = datetime(2026, 11, 1, 0, 30, tzinfo=UTC)


def test_a_pack_of_a_clock_that_may_be_an_hour_slow_is_kept_apart_with_its_reason(
    recorder: RecordUsage,
) -> None:
    assert recorder([a_message(an_evening_pack(), sent=MIDNIGHT_THIRTY)]) == []

    (row,) = quarantined()
    assert "would count it in 2026-10 or in 2026-11" in row["reason"]["S"]
    assert row["pk"]["S"] == "quarantine#2026-11-01"
    assert recorder.ledger.total("llm", "2026-10") == Delta()
    assert recorder.ledger.total("llm", "2026-11") == Delta()
    assert dead_letters(recorder) == []


def test_a_message_back_from_our_dead_letters_counts_by_its_own_time(
    recorder: RecordUsage,
) -> None:
    """SQS keeps its attributes on the way, and gives it a new time of arrival."""
    message = a_message(an_evening_pack(), sent=MIDNIGHT_THIRTY)
    message["messageAttributes"] = {"reason": {"dataType": "String", "stringValue": "schema 2"}}

    assert recorder([message]) == []
    assert recorder.ledger.total("llm", "2026-10").requests == 1
    assert quarantined() == []


def test_a_pack_that_was_counted_and_comes_late_once_more_is_not_in_quarantine_too(
    recorder: RecordUsage,
) -> None:
    """Else a retry from there, which has an id of its own, would count it twice."""
    recorder([a_message(an_evening_pack(), sent=MIDNIGHT_THIRTY - timedelta(hours=1))])
    counted = recorder.ledger.total("llm", "2026-10")

    assert recorder([a_message(an_evening_pack(), "m2", sent=MIDNIGHT_THIRTY)]) == []
    assert counted.requests == 1
    assert quarantined() == []
    assert recorder.ledger.total("llm", "2026-10") == counted


# Bad input: kept with its reason, never in the way of others, never an exception


def quarantined() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = aws("dynamodb").scan(TableName="ledger")["Items"]
    return [row for row in rows if row["pk"]["S"].startswith("quarantine#")]


def raw_pack(*records: str) -> str:
    """Return a pack whose records are JSON of any kind."""
    return a_pack("strange").replace('"records": [', f'"records": [{", ".join(records)}, ')


DEEP = "[" * 900 + "]" * 900
"""JSON reads it; writing it again needs a little more stack than is left in some Pythons."""


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ('{"id": "x", "at": "2026-11-21T12:00:00Z", "cost_nano_usd": 1' + "0" * 21 + "}", "above"),
        ('{"id": "x", "at": "2026-11-21T12:00:00Z", "cost_nano_usd": NaN}', "got nan"),
        ('{"id": "x", "at": "2026-11-21T12:00:00Z", "cost_nano_usd": 1e400}', "got inf"),
        ('{"id": "x", "at": "1970-01-01T00:00:00Z", "cost_nano_usd": 1}', "35 days before"),
        ('{"id": "x", "at": "2100-01-01T00:00:00Z", "cost_nano_usd": 1}', "5 minutes after"),
        ('{"id": "x", "at": 1763726400, "cost_nano_usd": 1}', "expected a time with a zone"),
        ('{"id": "\\ud800", "at": "2026-11-21T12:00:00Z", "cost_nano_usd": 1}', "id: expected"),
        ('{"id": "x", "at": "\\ud800", "cost_nano_usd": 1}', "expected a time"),
        ("null", "expected an object, got NoneType"),
        ("[]", "expected an object, got list"),
        ('"text"', "expected an object, got str"),
        (
            '{"id": "x", "at": "2026-11-21T12:00:00Z", "model": ' + DEEP + "}",
            "model: expected text",
        ),
        ('{"id": "x", "at": ' + DEEP + "}", "expected a time"),
        (DEEP, "expected an object, got list"),
    ],
)
def test_a_strange_record_is_kept_with_its_reason_and_its_neighbours_count(
    recorder: RecordUsage, record: str, reason: str
) -> None:
    assert recorder([a_message(raw_pack(record))]) == []

    (row,) = quarantined()
    assert reason in row["reason"]["S"]
    assert len(row["reason"]["S"]) < 300
    assert row["record"]["S"] or dead_letters(recorder)
    assert recorder.ledger.total("llm", "2026-11") == Delta(75_000, 1)


@pytest.mark.parametrize("kilobytes", [200, 900])
def test_a_record_of_any_size_counts_where_it_can_be_read(
    recorder: RecordUsage, kilobytes: int
) -> None:
    large = json.dumps(a_record("large", prompt="x" * kilobytes * 1000))

    assert recorder([a_message(raw_pack(large))]) == []
    assert recorder.ledger.total("llm", "2026-11").requests == 2
    assert (quarantined(), dead_letters(recorder)) == ([], [])


def test_a_bad_record_of_200_kb_is_whole_in_quarantine(recorder: RecordUsage) -> None:
    bad = a_record("large", prompt="x" * 200_000, cost_nano_usd=-1)
    recorder([a_message(raw_pack(json.dumps(bad)))])

    (row,) = quarantined()
    assert json.loads(row["record"]["S"]) == bad
    assert dead_letters(recorder) == []


def test_what_the_quarantine_can_t_hold_is_whole_in_the_dead_letters(
    recorder: RecordUsage,
) -> None:
    body = raw_pack(json.dumps(a_record("large", prompt="x" * 500_000, cost_nano_usd=-1)))

    assert recorder([a_message(body)]) == []
    ((kept, reason),) = dead_letters(recorder)
    assert kept == body
    assert "1 of 1 rejected records are not whole in quarantine" in reason
    assert "the 1 good ones count" in reason
    assert "record 0: cost_nano_usd: -1 is negative" in reason
    assert len(quarantined()) == 1
    assert recorder.ledger.total("llm", "2026-11").requests == 1


def test_a_dead_letter_that_comes_again_as_it_is_is_one_again(recorder: RecordUsage) -> None:
    body = raw_pack(*["1"] * 150)
    recorder([a_message(body)])
    assert len(dead_letters(recorder)) == 1

    assert recorder([a_message(body, "m2", sent=NOW + timedelta(days=1))]) == []
    assert len(dead_letters(recorder)) == 1
    assert len(quarantined()) == 100
    assert recorder.ledger.total("llm", "2026-11").requests == 1


def test_half_a_million_bad_records_are_one_dead_letter(recorder: RecordUsage) -> None:
    body = raw_pack(*["1"] * 300_000)

    assert recorder([a_message(body)]) == []
    ((kept, reason),) = dead_letters(recorder)
    assert kept == body
    assert "299900 of 300000 rejected records" in reason
    assert len(quarantined()) == 100
    assert recorder.ledger.total("llm", "2026-11").requests == 1


def test_eleven_thousand_users_in_one_message_are_counted_once(recorder: RecordUsage) -> None:
    at = '"at":"2026-11-21T12:00:00Z"'
    records = [
        f'{{"id":"{n}",{at},"cost_nano_usd":{n},"attributes":{{"user":"{n}"}}}}'
        for n in range(11_000)
    ]
    body = raw_pack(*records)

    assert len(body) < 2**20
    assert recorder([a_message(body)]) == []
    assert recorder([a_message(body)]) == []
    assert recorder.ledger.total("llm", "2026-11") == Delta(sum(range(11_000)) + 75_000, 11_001)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
FIELDS = st.dictionaries(st.sampled_from(sorted(a_record())), JSON, max_size=3).map(
    lambda over: json.dumps(a_record("x") | over)
)


class Keeping:
    """A queue or a table that takes all it is given, as far as AWS would."""

    def __init__(self) -> None:
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.calls += 1
            json.dumps(request, default=repr).encode()
            return {}

        return call


@settings(max_examples=300)
@given(
    st.text()
    | JSON.map(json.dumps)
    | FIELDS.map(raw_pack)
    | JSON.map(lambda each: a_pack("p", sent_at=each))
)
def test_no_content_makes_the_recorder_raise_or_ask_for_it_again(body: str) -> None:
    table, queue = Keeping(), Keeping()
    recorder = RecordUsage(
        DynamoLedger(table, "ledger"), (ROOT,), DeadLetters(queue, "url"), lambda: NOW
    )

    assert recorder([a_message(body)]) == []
    assert table.calls + queue.calls > 0
