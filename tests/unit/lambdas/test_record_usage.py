"""Usage queue → ledger: what can't be counted goes where people find it, with its reason."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from aws_tables import aws, make_queue, make_table
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


def a_message(body: str, id: str = "m1") -> dict[str, Any]:
    milliseconds = str(int(NOW.timestamp() * 1000))
    return {"messageId": id, "body": body, "attributes": {"SentTimestamp": milliseconds}}


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
