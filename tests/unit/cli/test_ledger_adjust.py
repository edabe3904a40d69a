"""``spendfuse ledger adjust``: a correction says what it does before it does it, and is kept."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError
from unit.cli.ledger_cli import (
    ME,
    NOW,
    USD,
    a_deployment,
    definitions,
    ledger,
    run,
    shown,
    spend,
)

from lambdas.watch_budgets.handler import WatchBudgets
from lambdas.watch_budgets.limits_in_force import LimitsInForce
from spendfuse.alerts.alert import alert_from_json
from spendfuse.cli.context import Context
from spendfuse.fuse.dynamodb import DynamoFuse
from spendfuse.ledger.counters import Delta
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides

CORRECTION = ("-12.50", "--for", "team=search", "--for", "user=ana", "--reason", "billed twice")


@pytest.fixture
def context() -> Iterator[Context]:
    with a_deployment() as context:
        spend("p1", 400, user="bob", key_id="k1")
        spend("p2", 20, user="ana", team="search")
        yield context


def adjust(context: Context, *arguments: str) -> Any:
    return run(context, "adjust", *arguments)


def trail(context: Context, *arguments: str) -> Any:
    return shown(context, "adjustments", *arguments)["adjustments"]


def spent(budget: str = "llm") -> Delta:
    return ledger().total(budget, "2026-11")


def test_without_yes_it_says_what_every_counter_would_become_and_does_nothing(
    context: Context,
) -> None:
    result = adjust(context, *CORRECTION)

    assert result.exit_code == 0
    assert result.output == (
        "-$12.50 at 2026-11-21 12:00 UTC for team=search, user=ana: billed twice\n"
        "  budget    of        period      counted  becomes      limit    used\n"
        "  llm       all       2026-11     $420.00  $407.50  $1,000.00  40.7 %\n"
        "  user-day  user ana  2026-11-21   $20.00    $7.50     $10.00  75.0 %\n"
        "  search    all       2026-11      $20.00    $7.50     $25.50  29.4 %\n"
        "Nothing was posted. Add --yes to do it.\n"
    )
    assert spent() == Delta(420 * USD, 2)
    assert trail(context) == []


def test_with_yes_it_counts_and_says_how_to_take_it_back(context: Context) -> None:
    output = adjust(context, *CORRECTION, "--yes", "--id", "a1").output

    assert spent() == Delta(407_500_000_000, 2)
    assert spent("search").nano_usd == 7_500_000_000
    assert ledger().spent("user-day", "2026-11-21", "ana") == 7_500_000_000
    assert output.endswith(
        "Posted as a1.\n"
        "  Guards count for themselves and do not follow; where they refuse, raise the limit.\n"
        "  To take it back: spendfuse ledger adjust 12.5 --for team=search --for user=ana "
        "--at 2026-11-21T12:00:30.000Z --reason 'undo a1'\n"
    )


def test_what_it_says_takes_it_back(context: Context) -> None:
    odd = ("--for", "team=search", "--for", "user=o'neill; rm -rf", "--reason", "x")
    output = adjust(context, "7", *odd, "--yes").output
    _, _, command = output.partition("To take it back: spendfuse ledger adjust ")
    adjust(context, *shlex.split(command), "--yes")

    assert spent() == Delta(420 * USD, 2)
    assert [each["usd"] for each in trail(context)] in (["-7", "7"], ["7", "-7"])


def test_it_is_written_down_with_who_when_and_why(context: Context) -> None:
    adjust(context, *CORRECTION, "--at", "2026-11-21", "--yes", "--id", "a1")

    assert trail(context) == [
        {
            "id": "a1",
            "usd": "-12.5",
            "attributes": {"team": "search", "user": "ana"},
            "at": "2026-11-21T00:00:00.000Z",
            "reason": "billed twice",
            "by": ME,
            "posted_at": "2026-11-21T12:00:30.000Z",
        }
    ]
    assert run(context, "adjustments").output == (
        "-$12.50 at 2026-11-21 00:00 UTC for team=search, user=ana\n"
        "  billed twice\n"
        "  posted 2026-11-21 12:00 UTC by user/moto, id a1\n"
    )


def test_the_same_again_was_posted_already_though_time_went_on(context: Context) -> None:
    adjust(context, *CORRECTION, "--yes", "--id", "a1")
    context.now = lambda: NOW + timedelta(minutes=5)
    result = adjust(context, *CORRECTION, "--yes", "--id", "a1")

    assert result.exit_code == 0
    assert result.output.startswith(
        "a1 was posted already, on 2026-11-21 12:00 UTC by user/moto: -$12.50"
    )
    assert spent().nano_usd == 407_500_000_000


def test_another_correction_under_the_same_id_is_an_error(context: Context) -> None:
    adjust(context, *CORRECTION, "--yes", "--id", "a1")
    result = adjust(context, "5", "--reason", "x", "--yes", "--id", "a1")

    assert result.exit_code == 1
    assert "a1 was posted already, and says something else: -$12.50" in result.output
    assert spent().nano_usd == 407_500_000_000


def test_without_an_id_each_run_is_another_adjustment(context: Context) -> None:
    adjust(context, "1", "--reason", "x", "--yes")
    adjust(context, "1", "--reason", "x", "--yes")

    assert spent().nano_usd == 422 * USD
    assert len({each["id"] for each in trail(context)}) == 2


def test_more_than_was_counted_is_refused_before_and_names_where(context: Context) -> None:
    for yes in ((), ("--yes",)):
        result = adjust(context, "-21", *CORRECTION[1:], *yes)

        assert result.exit_code == 1
        assert "below 0, so nothing was posted: search in 2026-11 has $20.00, user-day" in (
            result.output
        )
    assert spent() == Delta(420 * USD, 2)


def test_it_says_which_rungs_it_reaches_and_that_the_fuse_may_trip(context: Context) -> None:
    output = adjust(context, "600", "--for", "key_id=k1", "--reason", "x").output

    assert "  llm       API key k1  2026-11" not in output
    assert "  llm     API key k1  2026-11  $400.00  $1,000.00          -        -\n" in output
    assert "  llm: 50 % ($500.00) is reached: it tells email, slack.\n" in output
    assert (
        "  llm: 100 % ($1,000.00) is reached: it tells email, slack, and the fuse may trip and "
        "disable its API keys.\n"
    ) in output


def test_a_past_period_trips_nothing(context: Context) -> None:
    output = adjust(context, "1000", "--at", "2026-10-31", "--reason", "the invoice").output

    assert "2026-10    $0.00  $1,000.00  $1,000.00  100.0 %\n" in output
    assert "100 % ($1,000.00) is reached: it tells email, slack.\n" in output
    assert "trip" not in output


def test_what_falls_below_the_limit_restores_nothing_and_says_so(context: Context) -> None:
    spend("p3", 600)
    output = adjust(context, "-100", "--reason", "x").output

    assert (
        "  llm: 100 % ($1,000.00) is reached no more; a fuse that tripped stays so until "
        "`spendfuse fuse restore`.\n"
    ) in output


def test_it_rings_as_usage_does_and_what_rang_does_not_ring_again(context: Context) -> None:
    rang: list[int | None] = []
    stored, told = DynamoOverrides(aws("dynamodb"), "ledger"), definitions()
    watch = WatchBudgets(
        ledger=ledger(),
        fuse=DynamoFuse(aws("dynamodb"), make_table("fuse"), told.fuse.name),
        definitions=told,
        limits=LimitsInForce(stored, told),
        publish=lambda alert, _: rang.append(alert_from_json(alert).percent),
        now=lambda: NOW,
    )
    for usd in ("100", "-100", "100", "300"):
        adjust(context, usd, "--reason", "x", "--yes")
        watch([(told.root, told.root.period_at(NOW))])

    assert rang == [50, 80]


def test_an_attribute_that_no_budget_looks_at_is_pointed_out(context: Context) -> None:
    output = adjust(
        context, "1", "--for", "taem=search", "--for", "user=ana", "--reason", "x"
    ).output

    assert "  No budget looks at taem: it is noted, no more.\n" in output
    assert "No budget looks at user" not in output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("0",), "0 changes nothing"),
        (("-0.0",), "0 changes nothing"),
        (("NaN",), "expected an amount in dollars"),
        (("inf",), "expected an amount in dollars"),
        (("abc",), "expected an amount in dollars"),
        (("0.0000000001",), "finer than a nano-dollar"),
        (("1e12",), "write $1,000,000,000 at most"),
        (("-1e12",), "write $1,000,000,000 at most"),
        (("--fro", "team=x", "5"), "No such option '--fro'"),
        (("5", "--for", "team"), "got 'team'; write NAME=VALUE"),
        (("5", "--for", "=x"), "an attribute's name has 1 to 256 bytes"),
        (("5", "--for", "team="), "a value of 1 to 256 bytes is needed"),
        (("5", "--for", f"team={'x' * 257}"), "a value of 1 to 256 bytes is needed"),
        (("5", "--for", "team=a", "--for", "team=b"), "team stands there twice"),
        (("5", "--at", "2026-11-21T12:00:31Z"), "is yet to come"),
        (("5", "--at", "2025-10-01"), "is more than 400 days ago"),
        (("5", "--at", "2026-11-21T12:00"), "a time with a zone"),
        (("5", "--id", ""), "--id: write 1 to 256 printable characters"),
        (("5", "--id", "a\x1b"), "--id: write 1 to 256 printable characters"),
        (("5", "--reason", " "), "write one line that says why"),
    ],
)
def test_what_can_t_be_meant_is_a_wrong_usage(
    context: Context, arguments: tuple[str, ...], sentence: str
) -> None:
    told = arguments if "--reason" in arguments else (*arguments, "--reason", "x")
    result = adjust(context, *told, "--yes")

    assert result.exit_code == 2
    assert sentence in result.output
    assert trail(context) == []


def test_a_reason_is_needed(context: Context) -> None:
    assert "Missing option '--reason'" in adjust(context, "5").output


def test_before_the_budgets_are_written_down_nothing_is_posted(
    context: Context, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    key = {"pk": {"S": "budgets"}, "sk": {"S": "definitions"}}
    aws("dynamodb").delete_item(TableName="ledger", Key=key)

    assert adjust(context, "5", "--reason", "x", "--yes").exit_code == 1
    assert trail(context) == []


def test_where_it_is_not_certain_it_says_how_to_be_sure(context: Context) -> None:
    class Lost:
        def transact_write_items(self, **request: Any) -> None:
            denied = {"Code": "AccessDeniedException", "Message": "not authorized to UpdateItem"}
            raise ClientError({"Error": denied}, "TransactWriteItems")

        def __getattr__(self, name: str) -> Any:
            return getattr(aws("dynamodb"), name)

    context._clients["dynamodb"] = Lost()
    result = adjust(context, *CORRECTION, "--yes", "--id", "a1")

    assert result.exit_code == 1
    assert "not authorized to UpdateItem" in result.output
    assert "run the same with --id a1, and it counts once" in result.output


def test_the_trail_is_newest_first_and_can_be_of_one_period(context: Context) -> None:
    adjust(context, "1", "--at", "2026-10-31", "--reason", "x", "--yes", "--id", "old")
    context.now = lambda: NOW + timedelta(minutes=5)
    adjust(context, "-2", "--reason", "y", "--yes", "--id", "new")

    assert [each["id"] for each in trail(context)] == ["new", "old"]
    assert [each["id"] for each in trail(context, "--period", "2026-11-21")] == ["new"]
    assert [each["id"] for each in trail(context, "--period", "2026-10")] == ["old"]
    assert run(context, "adjustments").output.endswith("2 adjustments, -$1.00 together\n")
    assert (
        run(context, "adjustments", "--period", "2026-09").output == "No adjustment was posted.\n"
    )
    assert "'x' is no period's key" in run(context, "adjustments", "--period", "x").output
