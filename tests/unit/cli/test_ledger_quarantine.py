"""``spendfuse ledger quarantine``: what did not count is seen, and counts once when it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_tables import aws
from botocore.exceptions import ClientError
from packs import a_pack, a_record
from unit.cli.ledger_cli import NOW, USD, a_deployment, ledger, queued, record, run, shown

from spendfuse.cli.context import Context

AHEAD = a_record("late", at="2026-11-21T12:40:00.000Z", cost_nano_usd=5 * USD)
WRONG = a_record("wrong", at="2026-11-21T10:59:00.000Z", cost_nano_usd=-5)
GOOD = a_record(at="2026-11-21T10:59:00.000Z")


@pytest.fixture
def context() -> Iterator[Context]:
    """An hour ago, one record was ahead of its time and one wrong."""
    with a_deployment() as context:
        record(
            a_pack("p1", GOOD, AHEAD, WRONG, sent_at="2026-11-21T11:00:00Z"),
            at=NOW - timedelta(hours=1),
        )
        context.now = lambda: NOW + timedelta(hours=1)
        yield context


def in_an_hour(*packs: str) -> None:
    record(*packs, at=NOW + timedelta(hours=1))


def spent() -> int:
    return ledger().total("llm", "2026-11").nano_usd


def ids(context: Context, *arguments: str) -> list[str]:
    return [each["id"] for each in shown(context, "quarantine", "list", *arguments)["records"]]


def lie_dead(count: int) -> None:
    url = aws("sqs").get_queue_url(QueueName="dead-letters")["QueueUrl"]
    for number in range(count):
        aws("sqs").send_message(QueueUrl=url, MessageBody=f"{{{number}")


def test_list_shows_each_record_with_its_reason(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")

    assert run(context, "quarantine", "list").output == (
        "2 records wait in quarantine, of the last 35 days.\n"
        "\n"
        "2026-11-21 11:00 UTC  p1#1\n"
        "  at: '2026-11-21T12:40:00.000Z' is more than 5 minutes after it was received\n"
        '  {"id": "late", "at": "2026-11-21T12:40:00.000Z", "provider": "openai", "model…\n'
        "\n"
        "2026-11-21 11:00 UTC  p1#2\n"
        "  cost_nano_usd: -5 is negative; corrections are made in the ledger\n"
        '  {"id": "wrong", "at": "2026-11-21T10:59:00.000Z", "provider": "openai", "mode…\n'
        "\n"
        "The usage queue's dead-letter queue is empty.\n"
    )


def test_a_reason_that_is_wider_than_the_terminal_is_read_to_its_end(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert (
        "  at: '2026-11-21T12:40:00.000Z' is more\n  than 5 minutes after it was received\n"
    ) in run(context, "quarantine", "list").output


def test_list_says_what_the_queue_gave_up_on_and_how_to_send_it_on(context: Context) -> None:
    lie_dead(3)
    output = run(context, "quarantine", "list").output

    assert (
        "About 3 messages that could not be read, kept or counted lie in the usage queue's "
        "dead-letter queue.\n"
    ) in output
    assert (
        "  aws sqs start-message-move-task --source-arn "
        "arn:aws:sqs:us-east-1:123456789012:dead-letters \\\n"
        "    --destination-arn arn:aws:sqs:us-east-1:123456789012:usage\n"
    ) in output
    assert shown(context, "quarantine", "list")["dead_letters"] == 3


def test_without_the_right_to_see_dead_letters_the_records_are_listed(context: Context) -> None:
    context._clients["sqs"] = Refusing(("get_queue_attributes", "AccessDenied"))
    result = run(context, "quarantine", "list")

    assert result.exit_code == 0
    assert "p1#1" in result.stdout
    assert "the dead-letter queue can't be read" in result.stderr


def test_list_prints_so_many_and_says_that_there_are_more(context: Context) -> None:
    output = run(context, "quarantine", "list", "--most", "1").output

    assert "p1#1" in output
    assert "p1#2" not in output
    assert "And 1 older; --most prints more.\n" in output
    assert ids(context) == ["p1#1", "p1#2"]


def test_list_looks_back_as_many_days_as_it_is_told(context: Context) -> None:
    record(a_pack("p0", WRONG), at=NOW - timedelta(days=3))

    assert ids(context, "--days", "3") == ["p1#1", "p1#2"]
    assert ids(context, "--days", "4") == ["p1#1", "p1#2", "p0#0"]


def test_a_record_can_t_move_the_cursor(context: Context) -> None:
    evil = a_record("r\x1b[2J\x9b\u202e\x7f", cost_nano_usd=-5)
    in_an_hour(a_pack("p\x1b[2J\x9b\u202e\x7f", evil))
    for command in (("list",), ("retry", "--all"), ("retry", "--all", "--yes")):
        output = run(context, "quarantine", *command).output

        assert all(line.isprintable() for line in output.splitlines())


def test_retry_without_yes_only_says_what_it_would_send(context: Context) -> None:
    output = run(context, "quarantine", "retry", "--all").output

    assert output.startswith("Sends 2 records:\n  p1#1: at: '2026-11-21T12:40")
    assert output.endswith("Nothing was sent. Add --yes to do it.\n")
    assert queued() == []
    assert ids(context) == ["p1#1", "p1#2"]


def test_what_is_sent_again_counts_and_what_is_rejected_again_shows_as_such(
    context: Context,
) -> None:
    before = spent()
    result = run(context, "quarantine", "retry", "--all", "--yes")
    in_an_hour(*queued())
    (again,) = shown(context, "quarantine", "list")["records"]
    output = run(context, "quarantine", "list").output

    assert result.output.startswith("Sent 2 records.")
    assert spent() == before + 5 * USD
    assert again["retry_of"] == "p1#2"
    assert "  rejected again; it was p1#2\n" in output
    assert "Not shown: 2 records that went out again; --all has them.\n" in output
    assert len(ids(context, "--all")) == 3
    assert (
        "  sent again 2026-11-21 13:00 UTC\n" in run(context, "quarantine", "list", "--all").output
    )


def test_a_record_that_is_sent_twice_counts_once_whatever_else_goes_with_it(
    context: Context,
) -> None:
    before = spent()
    run(context, "quarantine", "retry", "p1#1", "--yes")
    first = queued()
    run(context, "quarantine", "retry", "p1#1", "p1#2", "--yes")
    in_an_hour(*first, *queued())
    in_an_hour(*first)

    assert spent() == before + 5 * USD


def test_only_what_was_chosen_is_sent(context: Context) -> None:
    in_an_hour(a_pack("p2", WRONG))
    run(context, "quarantine", "retry", "--pack", "p2", "--yes")

    assert ids(context) == ["p1#1", "p1#2"]
    assert len(queued()) == 1


def test_a_retry_can_be_retried(context: Context) -> None:
    run(context, "quarantine", "retry", "p1#2", "--yes")
    in_an_hour(*queued())
    again = ids(context)[0]
    run(context, "quarantine", "retry", again, "--yes")
    in_an_hour(*queued())

    assert len({*ids(context, "--all")}) == 4


def test_what_can_t_be_sent_is_named_and_the_others_go(context: Context) -> None:
    cut = {"record": {"S": '{"a": "b... (7 bytes more)'}, "reason": {"S": "x"}}
    key = {"pk": {"S": "quarantine#2026-11-21"}, "sk": {"S": "p3#00007"}}
    aws("dynamodb").put_item(TableName="ledger", Item=key | cut)
    result = run(context, "quarantine", "retry", "--all", "--yes")

    assert result.exit_code == 0
    assert "p3#7 can't be sent: only its beginning was kept" in result.stderr
    assert len(queued()) == 2
    assert ids(context) == ["p3#7"]
    assert run(context, "quarantine", "retry", "p3#7", "--yes").exit_code == 1


def test_many_records_go_in_calls_that_sqs_takes(context: Context) -> None:
    huge = [a_record(f"r{n}", cost_nano_usd=-1, padding="x" * 90_000) for n in range(4)]
    small = [a_record(f"s{n}", cost_nano_usd=-1) for n in range(12)]
    in_an_hour(a_pack("p4", *huge), a_pack("p5", *small))
    watched = Watching(aws("sqs"))
    context._clients["sqs"] = watched
    output = run(context, "quarantine", "retry", "--all", "--yes").output

    assert output.startswith("Sent 18 records.")
    assert max(len(call) for call in watched.calls) == 10
    assert max(sum(map(len, call)) for call in watched.calls) <= 240_000
    assert ids(context) == []


def test_of_more_than_fit_at_once_the_rest_goes_with_the_next_run(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spendfuse.cli.ledger_quarantine_report._MOST_READ", 2)
    in_an_hour(a_pack("p6", WRONG))
    listed = run(context, "quarantine", "list").output
    first = run(context, "quarantine", "retry", "--all", "--yes").output
    second = run(context, "quarantine", "retry", "--all", "--yes").output

    assert listed.startswith("2 records and more wait in quarantine")
    assert first.endswith("There are more; run the same command again.\n")
    assert second.startswith("Sent 1 record.")
    assert "There are more" not in second


def test_the_newest_record_of_a_day_is_listed_first(context: Context) -> None:
    in_an_hour(a_pack("p7", WRONG))

    assert ids(context) == ["p7#0", "p1#1", "p1#2"]


def test_a_record_is_noted_as_sent_only_after_it_was(context: Context) -> None:
    context._clients["sqs"] = Refusing(("send_message_batch", "AWS.SimpleQueueService.Unavailable"))
    result = run(context, "quarantine", "retry", "--all", "--yes")

    assert result.exit_code == 1
    assert "0 of 2 are sent, run the same again for the rest" in result.output
    assert ids(context) == ["p1#1", "p1#2"]


def test_a_record_that_the_queue_refuses_waits_on(context: Context) -> None:
    class Picky:
        def send_message_batch(self, **request: Any) -> Any:
            failed = {"Id": "1", "Code": "InternalError", "Message": "try again", "SenderFault": 0}
            return {"Successful": [{"Id": "0"}], "Failed": [failed]}

    context._clients["sqs"] = Picky()
    result = run(context, "quarantine", "retry", "--all", "--yes")
    context._clients["sqs"] = aws("sqs")

    assert result.exit_code == 1
    assert "p1#2 was not sent: try again" in result.stderr
    assert ids(context) == ["p1#2"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "name records by their ids, or a pack with --pack, or say --all"),
        (("p1#1", "--all"), "name records by their ids"),
        (("p1#9",), "p1#9: no such record lies in quarantine"),
        (("--all", "--days", "0"), "0 is not in the range"),
    ],
)
def test_a_choice_of_nothing_or_of_two_things_is_a_wrong_usage(
    context: Context, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(context, "quarantine", "retry", *arguments)

    assert result.exit_code == 2
    assert sentence in result.output


def test_nothing_to_send_is_no_error_but_a_pack_that_is_not_there_is(context: Context) -> None:
    run(context, "quarantine", "retry", "--all", "--yes")

    nothing = run(context, "quarantine", "retry", "--all", "--yes")
    assert nothing.exit_code == 0
    assert "No record of the last 35 days waits in quarantine." in nothing.output
    assert run(context, "quarantine", "retry", "--pack", "p9").exit_code == 1


def test_without_the_queue_s_output_it_says_to_deploy(context: Context) -> None:
    del context._outputs["UsageQueueUrl"]

    assert "no output UsageQueueUrl" in run(context, "quarantine", "retry", "--all").output


class Refusing:
    """A client of which one call is refused."""

    def __init__(self, refused: tuple[str, str]) -> None:
        self._refused = refused

    def __getattr__(self, name: str) -> Any:
        def call(**request: Any) -> Any:
            if name == self._refused[0]:
                raise ClientError({"Error": {"Code": self._refused[1], "Message": "no"}}, name)
            return getattr(aws("sqs"), name)(**request)

        return call


class Watching:
    """A client that notes the bodies of each call."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.calls: list[list[str]] = []

    def send_message_batch(self, **request: Any) -> Any:
        self.calls.append([each["MessageBody"] for each in request["Entries"]])
        return self._client.send_message_batch(**request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
