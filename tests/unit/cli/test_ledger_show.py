"""``spendfuse ledger show`` and ``top``: what was counted, and for whom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from aws_tables import aws
from botocore.exceptions import ClientError
from packs import a_pack, a_record
from unit.cli.ledger_cli import BLOCK, ME, NOW, USD, a_deployment, fold, record, run, shown, spend

from spendfuse.budget import Override
from spendfuse.cli.context import Context
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides

FAR = "a" * 63


@pytest.fixture
def context() -> Iterator[Context]:
    with a_deployment() as context:
        yield context


@pytest.fixture
def spent(context: Context) -> Context:
    spend("p1", 300, user="ana", team="search", key_id="k1")
    spend("p2", 90, user="bob", key_id="k2", feature="chat")
    spend("p3", 10, model="o3")
    spend("p4", None, user="ana", key_id="k1")
    fold()
    return context


def test_show_has_every_budget_with_a_total_the_fullest_after_the_root(spent: Context) -> None:
    overrides = DynamoOverrides(aws("dynamodb"), "ledger")
    overrides.put(Override("search", "", 400 * USD, ME, "launch week", NOW))
    record(a_pack("p5", a_record("r", cost_nano_usd=-1)))

    assert run(spent, "show").output == (
        "budget  period     spent      limit    used  requests  unpriced\n"
        "llm     2026-11  $400.00  $1,000.00  40.0 %         4         1\n"
        "search  2026-11  $300.00    $400.00  75.0 %         1         0\n"
        "pilot   total      $0.00  $5,000.00   0.0 %         0         0\n"
        "\n"
        "dearest API keys of llm\n"
        "  k1  $300.00  75.0 %\n"
        "  k2   $90.00  22.5 %\n"
        "\n"
        "all usage\n"
        "  last 60 minutes  $400.00 metered\n"
        "  today (UTC)      $400.00 metered\n"
        "  last 5 minutes   4 requests, 0 errors\n"
        "  last usage       2026-11-21 11:59 UTC, 1 minute ago\n"
        "  quarantine       1 record of 1 pack of today; `spendfuse ledger quarantine list`\n"
    )


def test_usage_whose_minute_is_not_yet_added_up_is_not_taken_for_none(context: Context) -> None:
    spend("p1", 300, team="search")

    assert (
        "last usage       just now: figures of it follow in a minute\n"
        in run(context, "show").output
    )


def test_show_before_the_first_usage_says_so(context: Context) -> None:
    output = run(context, "show").output

    assert "last usage       none yet\n" in output
    assert "quarantine       nothing of today\n" in output
    assert "API keys" not in output


def test_show_of_one_budget_says_what_it_counts_and_where_its_limit_is_from(
    spent: Context,
) -> None:
    overrides = DynamoOverrides(aws("dynamodb"), "ledger")
    overrides.put(Override("llm", "", 1600 * USD, ME, "launch week", NOW))

    assert run(spent, "show", "--budget", "llm").output.startswith(
        "budget llm: all usage\n"
        "  period    2026-11\n"
        "  spent     $400.00, 25.0 %\n"
        "  limit     $1,600.00, set instead of $1,000.00 a month\n"
        "  requests  4, 1 of them without a price\n"
        "\n"
        "dearest API keys\n"
        "  k1  $300.00  75.0 %\n"
    )


def test_the_json_of_show_has_dollars_as_text_and_the_keys_of_all(spent: Context) -> None:
    found = shown(spent, "show")
    llm, pilot, search = found["budgets"]

    assert (llm["spent_usd"], llm["requests"], llm["unpriced"]) == ("400", 4, 1)
    assert (pilot["period_key"], pilot["spent_usd"]) == ("total", "0")
    assert search["keys"] == [{"key_id": "k1", "usd": "300"}]
    assert (found["last_hour_usd"], found["minutes_since_usage"]) == ("400", 1)
    assert found["quarantine_today"] == {"records": 0, "packs": 0, "is_all": True}


def test_another_period_shows_the_budgets_that_have_it(spent: Context) -> None:
    months = shown(spent, "show", "--period", "2026-10")["budgets"]

    assert [(each["name"], each["spent_usd"]) for each in months] == [("llm", "0"), ("search", "0")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("show", "--budget", "serch"), "there is no budget 'serch'; did you mean 'search'?"),
        (("show", "--budget", "user-day"), "user-day counts each user apart"),
        (("top", "--by", "user", "--budget", "user-day"), "user-day counts each user apart"),
        (
            ("show", "--period", "2026-13"),
            "no budget has a period '2026-13'; they are in 2026-11, total now",
        ),
        (
            ("show", "--budget", "llm", "--period", "2026-W47"),
            "'2026-W47' is not the key of a month; llm is in 2026-11 now",
        ),
        (("top", "--by", "user", "--period", "x"), "'x' is not the key of a month"),
        (("top", "--by", "team"), "'team' is not one of"),
    ],
)
def test_what_can_t_be_shown_is_a_wrong_usage_and_says_what_there_is(
    context: Context, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(context, *arguments)

    assert result.exit_code == 2
    assert sentence in result.output


def test_a_missing_permission_is_one_sentence_that_names_it(context: Context) -> None:
    class Closed:
        def get_paginator(self, name: str) -> Any:
            denied = {"Code": "AccessDeniedException", "Message": "not authorized: dynamodb:Query"}
            raise ClientError({"Error": denied}, "Query")

    context._clients["dynamodb"] = Closed()
    result = run(context, "show")

    assert result.exit_code == 1
    assert "dynamodb:Query" in result.output
    assert result.output.count("\n") == 1


def test_without_the_stack_s_output_it_says_to_deploy(context: Context) -> None:
    context._outputs.clear()
    context._outputs["Other"] = "x"

    assert "no output LedgerTableName" in run(context, "show").output


@pytest.mark.parametrize("count", [1, 96])
def test_tables_fit_a_terminal_whatever_names_are_in_them(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    names = [f"b{number}-{FAR}"[:63] for number in range(count)]
    far = [{"name": name, "match": {"team": "far"}, "limit_usd": 999_999_999} for name in names]
    monkeypatch.setitem(BLOCK, "budgets", [*BLOCK["budgets"], *far])
    with a_deployment() as deployed:
        spend("p1", 900_000, user="u" * 256, team="far", key_id="k" * 200)
        table = run(deployed, "show").output
        top = run(deployed, "top", "--by", "user").output
        plan = run(deployed, "adjust", "-1", "--for", "team=far", "--reason", "x").output
        whole = run(deployed, "show", "--budget", "llm").output

    for name in names:
        assert name.partition("-")[0] in table
    for output in (table, top, plan, whole):
        assert max(map(len, output.splitlines())) <= 100


def test_top_names_the_dearest_the_rest_and_who_is_nobody(spent: Context) -> None:
    assert run(spent, "top", "--by", "user").output == (
        "llm in 2026-11, by user\n"
        "  user              spent   share  requests\n"
        "  ana             $300.00  75.0 %         2\n"
        "  bob              $90.00  22.5 %         1\n"
        "  (nobody named)   $10.00   2.5 %         1\n"
        "  all others        $0.00   0.0 %         0\n"
    )
    assert run(spent, "top", "--by", "user", "--most", "1").output.endswith(
        "  all others  $100.00  25.0 %         2\n"
    )


def test_top_within_a_budget_is_about_that_budget(spent: Context) -> None:
    found = shown(spent, "top", "--by", "feature", "--budget", "search")
    nobody = {
        "value": None,
        "usd": "300",
        "share_percent": "100",
        "requests": 1,
        "unpriced": 0,
    }

    assert (found["budget"], found["total_usd"], found["top"]) == ("search", "300", [nobody])
    assert found["others"]["usd"] == "0"


def test_top_of_a_period_without_usage_says_so(context: Context) -> None:
    assert "nothing was counted" in run(context, "top", "--by", "model").output


def test_what_was_counted_before_shares_were_kept_is_no_one_s_and_not_missing(
    spent: Context,
) -> None:
    key = {"pk": {"S": "budget#llm#2026-11"}, "sk": {"S": "total"}}
    aws("dynamodb").update_item(
        TableName="ledger",
        Key=key,
        UpdateExpression="ADD nano_usd :more",
        ExpressionAttributeValues={":more": {"N": str(600 * USD)}},
    )
    output = run(spent, "top", "--by", "user").output

    assert "  ana                              $300.00  30.0 %         2\n" in output
    assert "  counted before shares were kept  $600.00  60.0 %         -\n" in output
    assert shown(spent, "top", "--by", "user")["unshared_usd"] == "600"


def test_a_name_can_t_move_the_cursor(context: Context) -> None:
    spend("p1", 1, user="\x1b[2Jeve\u202e\x7f", key_id="\x9bk")
    output = run(context, "top", "--by", "user").output + run(context, "show").output

    assert all(line.isprintable() for line in output.splitlines())
    assert "eve" in output


def test_usage_long_ago_is_told_in_days(context: Context) -> None:
    at = NOW - timedelta(days=3)
    record(a_pack("p1", a_record(at=at.isoformat()), sent_at=at.isoformat()), at=at)
    fold()

    assert "last usage       2026-11-18 12:00 UTC, 3 days ago\n" in run(context, "show").output
