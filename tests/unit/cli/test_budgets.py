"""``spendfuse budgets``: what is in force, what is left of it, and changing it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import NoCredentialsError
from click.testing import CliRunner, Result
from moto import mock_aws

from spendfuse.budget import Override
from spendfuse.cli.context import Context
from spendfuse.cli.main import main
from spendfuse.config import load
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USD = 10**9
ME = "arn:aws:sts::123456789012:user/moto"
BLOCK: dict[str, Any] = {
    "name": "acme",
    "tags": dict.fromkeys(("Project", "Environment", "Team", "CostCenter", "Owner"), "x"),
    "alerts": {"emails": ["a@b.co"], "slack": {"webhook_secret": "acme/slack"}},
    "budgets": [
        {"name": "llm", "limit_usd": 1000},
        {
            "name": "user-day",
            "per": "user",
            "period": "day",
            "limit_usd": 10,
            "zone": "Europe/Berlin",
            "mode": "fit",
            "when_down": "local_share",
        },
        {
            "name": "search",
            "match": {"team": "search", "model": "gpt-4o*"},
            "limit_usd": "25.50",
            "ladder": [80],
        },
        {
            "name": "pilot",
            "match": {"project": "pilot"},
            "period": "total",
            "limit_usd": 5000,
            "mode": "observe",
        },
    ],
    "rates": [{"name": "burst", "usd_per_minute": 2, "per": "team"}],
    "stages": {"dev": {"budgets": [{"name": "llm", "limit_usd": 50}]}},
}


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A deployment that has written its definitions down, and spent."""
    monkeypatch.chdir(tmp_path)
    with mock_aws():
        context = Context(deployment="acme", aws=aws, now=lambda: NOW)
        context._outputs.update(LedgerTableName=make_table("ledger"))
        definitions = load({"spendfuse": BLOCK}).definitions
        row = {"version": {"S": definitions.version}, "json": {"S": definitions.to_json()}}
        put("budgets", "definitions", row)
        spend("llm", "2026-11", "812.40")
        spend("llm", "2026-10", "1012.40")
        spend("search", "2026-11", "3.10")
        spend("pilot", "total", "1.00")
        spend("user-day", "2026-11-21", "9.999", share="per#u-17")
        yield context


@pytest.fixture
def undeployed(context: Context, tmp_path: Path) -> Context:
    """The same, before watch_budgets has run; cdk.json is here."""
    key = {"pk": {"S": "budgets"}, "sk": {"S": "definitions"}}
    aws("dynamodb").delete_item(TableName="ledger", Key=key)
    (tmp_path / "cdk.json").write_text(json.dumps({"context": {"spendfuse": BLOCK}}))
    return context


def put(pk: str, sk: str, row: dict[str, Any]) -> None:
    item = {"pk": {"S": pk}, "sk": {"S": sk}, **row}
    aws("dynamodb").put_item(TableName="ledger", Item=item)


def spend(budget: str, period: str, dollars: str, share: str = "total") -> None:
    nano = int(float(dollars) * USD)
    put(f"budget#{budget}#{period}", share, {"nano_usd": {"N": str(nano)}})


def overrides() -> DynamoOverrides:
    return DynamoOverrides(aws("dynamodb"), "ledger")


def was_set(budget: str, dollars: int, value: str = "", **over: Any) -> None:
    told = {"by": ME, "reason": "launch week", "at": NOW, **over}
    overrides().put(Override(budget, value, dollars * USD, **told))


def stored() -> dict[tuple[str, str], int]:
    return {key: each.limit_nano_usd for key, each in overrides().limits().overrides.items()}


def run(context: Context, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["budgets", *arguments], obj=context, catch_exceptions=False)


def shown(context: Context, *arguments: str) -> Any:
    return json.loads(run(context, *arguments, "--json").stdout)


def test_list_shows_limits_spend_and_where_a_limit_comes_from(context: Context) -> None:
    was_set("search", 30)
    was_set("user-day", 50, "u-17")
    output = run(context, "list").output

    assert output == (
        "budget    scope                       period                      spent      limit    "
        "used  limit from\n"
        "llm       all usage                   2026-11                   $812.40  $1,000.00  "
        "81.2 %  cdk.json\n"
        "user-day  per user                    2026-11-21 Europe/Berlin        -     $10.00       "
        "-  cdk.json\n"
        "search    model=gpt-4o*, team=search  2026-11                     $3.10     $30.00  "
        "10.3 %  override\n"
        "pilot     project=pilot               total                       $1.00  $5,000.00   "
        "0.0 %  cdk.json\n"
        "\n"
        "rate   scope     limit\n"
        "burst  per team  $2.00 a minute for each team\n"
        "\n"
        "limits that were set:\n"
        "  search: $30.00 instead of $25.50\n"
        "    by user/moto on 2026-11-21 12:00 UTC: launch week\n"
        "  user-day for u-17: $50.00 instead of $10.00\n"
        "    by user/moto on 2026-11-21 12:00 UTC: launch week\n"
    )


def test_a_list_fits_the_terminal_and_cuts_no_scope(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    lines = run(context, "list").output.splitlines()

    assert max(map(len, lines)) <= 90
    assert [line[10:24].strip() for line in lines[3:5]] == ["model=gpt-4o*,", "team=search"]


def test_the_json_of_a_list_has_dollars_as_text(context: Context) -> None:
    was_set("llm", 1500)
    listed = shown(context, "list")
    llm, user_day, search, pilot = listed["budgets"]

    assert listed["source"] == "cdk.json"
    assert (llm["limit_usd"], llm["configured_limit_usd"], llm["limit_from"]) == (
        "1500",
        "1000",
        "override",
    )
    assert (llm["spent_usd"], llm["left_usd"], llm["used_percent"]) == ("812.4", "687.6", "54.1")
    assert llm["override"] == {
        "limit_usd": "1500",
        "by": ME,
        "reason": "launch week",
        "at": "2026-11-21T12:00:00.000Z",
    }
    assert (user_day["spent_usd"], user_day["used_percent"]) == (None, None)
    assert user_day["resets_at"] == "2026-11-21T23:00:00.000Z"
    assert (search["limit_usd"], search["override"]) == ("25.5", None)
    assert search["rungs"] == [
        {
            "percent": 80,
            "threshold_usd": "20.4",
            "channels": ["email", "slack"],
            "trips": False,
            "is_reached": False,
        }
    ]
    assert (pilot["period_key"], pilot["resets_at"]) == ("total", None)
    assert listed["rates"] == [{"name": "burst", "match": {}, "per": "team", "usd_per_minute": "2"}]


def test_show_says_what_is_left_which_rungs_are_reached_and_who_set_the_limit(
    context: Context,
) -> None:
    was_set("llm", 1200)

    assert run(context, "show", "llm").output == (
        "budget llm: all usage\n"
        "  limit      $1,200.00, set by user/moto on 2026-11-21 12:00 UTC: launch week\n"
        "             cdk.json says $1,000.00 a month\n"
        "  period     2026-11, until 2026-12-01 00:00 UTC\n"
        "  spent      $812.40, 67.7 %; $387.60 left\n"
        "  mode       strict: refuses what does not fit\n"
        "  when_down  fail_closed: refuses all\n"
        "  rungs\n"
        "     50 %    $600.00  email, slack                  reached\n"
        "     80 %    $960.00  slack\n"
        "    100 %  $1,200.00  email, slack; trips the fuse\n"
    )


def test_show_of_one_user_has_that_user_s_limit_and_spend(context: Context) -> None:
    was_set("user-day", 5)
    was_set("user-day", 20, "u-17")
    output = run(context, "show", "user-day", "--for", "u-17").output

    assert output == (
        "budget user-day: per user\n"
        "  limit      $20.00 for user u-17, set by user/moto on 2026-11-21 12:00 UTC: launch week\n"
        "             $5.00 for each other user, set by user/moto on 2026-11-21 12:00 UTC: "
        "launch week\n"
        "             cdk.json says $10.00 a day for each user\n"
        "  period     2026-11-21 Europe/Berlin, until 2026-11-21 23:00 UTC\n"
        "  spent      $10.00, 49.9 %; $10.00 left\n"
        "  mode       fit: lowers max_tokens to what is left\n"
        "  when_down  local_share: each process admits up to 10 %, $2.00\n"
    )


def test_a_user_without_a_limit_of_his_own_has_each_user_s(context: Context) -> None:
    was_set("user-day", 5)
    user = shown(context, "show", "user-day", "--for", "u-2")

    assert (user["value"], user["limit_usd"], user["spent_usd"]) == ("u-2", "5", "0")
    assert (user["limit_from"], user["override"]["limit_usd"]) == ("override", "5")


def test_show_of_a_budget_per_user_lists_those_with_limits_of_their_own(context: Context) -> None:
    was_set("user-day", 20, "u-2", reason="")
    was_set("user-day", 50, "u-17")
    was_set("another", 1, "u-3")
    output = run(context, "show", "user-day").output

    assert "  spent      by each user apart; name one with --for\n" in output
    assert output.endswith(
        "  with a limit of their own\n"
        "    u-17  $50.00  by user/moto on 2026-11-21 12:00 UTC: launch week\n"
        "    u-2   $20.00  by user/moto on 2026-11-21 12:00 UTC\n"
    )


def test_an_earlier_period_can_be_shown(context: Context) -> None:
    october = shown(context, "show", "llm", "--period", "2026-10")

    assert (october["period_key"], october["spent_usd"]) == ("2026-10", "1012.4")
    assert "$12.40 over" in run(context, "show", "llm", "--period", "2026-10").output


def test_set_writes_who_when_and_why_and_says_what_was(context: Context) -> None:
    result = run(context, "set", "search", "30.25", "--reason", " launch week ")
    limits = overrides().limits()

    assert result.output == (
        "search: the limit is $30.25 now, it was $25.50.\n"
        "  Spent in 2026-11: $3.10, 10.2 % of it.\n"
        "  All processes follow within 5 seconds.\n"
        "  To go back to $25.50: spendfuse budgets unset search\n"
    )
    assert limits.overrides["search", ""] == Override(
        "search", "", 30_250_000_000, ME, "launch week", NOW
    )


def test_who_set_it_is_unknown_where_aws_does_not_say(context: Context) -> None:
    class Stranger:
        def get_caller_identity(self) -> None:
            raise NoCredentialsError

    context._clients["sts"] = Stranger()
    run(context, "set", "search", "30", "--reason", "x")

    assert overrides().limits().overrides["search", ""].by == "unknown"


def test_a_limit_for_one_user_leaves_the_others_alone(context: Context) -> None:
    was_set("user-day", 20)
    result = run(context, "set", "user-day", "50", "--for", "u 17", "--reason", "x")

    assert stored() == {("user-day", ""): 20 * USD, ("user-day", "u 17"): 50 * USD}
    assert "user-day for user u 17: the limit is $50.00 now, it was $20.00." in result.output
    assert "back to $20.00: spendfuse budgets unset user-day --for 'u 17'\n" in result.output


def test_a_limit_for_each_user_says_who_keeps_another_and_who_is_refused(context: Context) -> None:
    was_set("user-day", 50, "u-17")
    output = run(context, "set", "user-day", "5", "--reason", "x").output

    assert "user-day for each user: the limit is $5.00 now, it was $10.00.\n" in output
    assert "  Whoever has spent $5.00 already is refused from now on.\n" in output
    assert "  With a limit of their own, which they keep: u-17 ($50.00).\n" in output
    assert "Whoever" not in run(context, "set", "user-day", "30", "--reason", "x").output


def test_a_lowered_limit_names_the_rungs_that_it_makes_due(context: Context) -> None:
    run(context, "set", "llm", "2000", "--reason", "x")
    output = run(context, "set", "llm", "1500", "--reason", "x").output
    again = run(context, "set", "llm", "1500", "--reason", "y").output

    assert "  Rungs that are due at this limit, and tell people: 50 % ($750.00).\n" in output
    assert "the limit stays $1,500.00" in again
    assert "Rungs" not in again


def test_a_raised_limit_names_no_rung_that_people_have_heard_of(context: Context) -> None:
    assert "Rungs" not in run(context, "set", "llm", "1500", "--reason", "x").output


def test_a_raised_limit_names_the_aws_budget_that_still_trips_below_it(context: Context) -> None:
    aws_budgets = [
        {"name": "bill"},
        {"name": "search-bill", "budget": "search"},
        {"name": "quiet", "trip": False},
        {"name": "daily", "period": "day", "limit_usd": 1},
    ]
    definitions = load({"spendfuse": {**BLOCK, "aws_budgets": aws_budgets}}).definitions
    put("budgets", "definitions", {"version": {"S": "v"}, "json": {"S": definitions.to_json()}})
    raised = run(context, "set", "llm", "1500", "--reason", "x").output
    lowered = run(context, "set", "llm", "1000", "--reason", "x").output

    assert raised.count("AWS Budget") == 1
    assert (
        f"  The AWS Budget {definitions.aws_budgets[0].aws_name} still trips the fuse at $1,000.00 "
        "of AWS's bill, until cdk.json says more.\n"
    ) in raised
    assert "AWS" not in lowered


def test_a_limit_that_is_spent_already_needs_a_yes(context: Context) -> None:
    refused = run(context, "set", "llm", "800", "--reason", "x")
    before = stored()
    done = run(context, "set", "llm", "800", "--reason", "x", "--yes")

    assert refused.exit_code == 1
    assert refused.output == (
        "llm: $812.40 is spent in 2026-11; the limit would be $800.00 instead of $1,000.00.\n"
        "  Every further request that counts here is refused until 2026-12-01 00:00 UTC.\n"
        "  50 % ($400.00) is reached: it tells email, slack.\n"
        "  80 % ($640.00) is reached: it tells slack.\n"
        "  100 % ($800.00) is reached: it tells email, slack, and the fuse may trip and disable "
        "its API keys.\n"
        "Error: nothing was changed; add --yes to do it\n"
    )
    assert before == {}
    assert done.exit_code == 0
    assert stored() == {("llm", ""): 800 * USD}


def test_a_limit_that_valkey_can_t_count_needs_a_yes(context: Context) -> None:
    refused = run(context, "set", "llm", "9000000.01", "--reason", "x")

    assert refused.exit_code == 1
    assert "Where the guard counts in Valkey, each of these requests fails" in refused.output
    assert run(context, "set", "user-day", "9000001", "--reason", "x").output.startswith(
        "user-day for each user: the limit would be $9,000,001.00 instead of $10.00.\n"
    )
    assert stored() == {}
    assert run(context, "set", "llm", "9000000", "--reason", "x").exit_code == 0
    assert run(context, "set", "llm", "9000001", "--reason", "x", "--yes").exit_code == 0
    assert run(context, "set", "llm", "9000002", "--reason", "x").exit_code == 0


def test_a_limit_of_just_what_is_spent_needs_a_yes_too(context: Context) -> None:
    assert run(context, "set", "search", "3.10", "--reason", "x").exit_code == 1
    assert run(context, "set", "search", "3.11", "--reason", "x").exit_code == 0


def test_a_limit_above_the_spend_whose_rung_would_trip_needs_a_yes(context: Context) -> None:
    ladder = [50, {"percent": 80, "trip": True}]
    early = [{"name": "llm", "limit_usd": 1000, "ladder": ladder}]
    definitions = load({"spendfuse": {**BLOCK, "budgets": early}}).definitions
    put("budgets", "definitions", {"version": {"S": "v"}, "json": {"S": definitions.to_json()}})
    result = run(context, "set", "llm", "1010", "--reason", "x")

    assert result.exit_code == 1
    assert "80 % ($808.00) is reached" in result.output
    assert "refused until" not in result.output


def test_a_budget_that_only_observes_is_not_said_to_refuse(context: Context) -> None:
    output = run(context, "set", "pilot", "0.50", "--reason", "x").output

    assert "$1.00 is spent in total; the limit would be $0.50" in output
    assert "mode observe refuses none" in output
    assert "refused" not in output.replace("refuses", "")


def test_one_user_s_limit_below_the_spend_needs_a_yes(context: Context) -> None:
    result = run(context, "set", "user-day", "5", "--for", "u-17", "--reason", "x")

    assert result.exit_code == 1
    assert "refused until 2026-11-21 23:00 UTC" in result.output
    assert stored() == {}


def test_unset_goes_back_to_what_is_configured(context: Context) -> None:
    was_set("search", 30)
    result = run(context, "unset", "search")

    assert result.output.startswith("search: the limit is $25.50 now, it was $30.00.\n")
    assert stored() == {}


def test_unset_of_one_user_leaves_each_user_s_limit(context: Context) -> None:
    was_set("user-day", 20)
    was_set("user-day", 50, "u-17")
    result = run(context, "unset", "user-day", "--for", "u-17")

    assert "user-day for user u-17: the limit is $20.00 now, it was $50.00." in result.output
    assert stored() == {("user-day", ""): 20 * USD}


def test_unset_that_would_stop_requests_needs_a_yes(context: Context) -> None:
    spend("search", "2026-11", "28")
    was_set("search", 30)

    assert run(context, "unset", "search").exit_code == 1
    assert stored() == {("search", ""): 30 * USD}
    assert run(context, "unset", "search", "--yes").exit_code == 0
    assert stored() == {}


@pytest.mark.parametrize("arguments", [("search",), ("user-day", "--for", "u-17")])
def test_with_nothing_to_unset_it_says_so_and_exits_with_0(
    context: Context, arguments: tuple[str, ...]
) -> None:
    result = run(context, "unset", *arguments)

    assert result.exit_code == 0
    assert "no limit was set; it is $" in result.output
    assert "Nothing to do." in result.output


def test_an_override_of_a_budget_that_is_gone_is_shown_and_can_be_removed(
    context: Context,
) -> None:
    was_set("old", 3)
    was_set("llm", 2000, "u-1")
    listed = run(context, "list").output
    in_json = shown(context, "list")["orphans"]

    assert listed.endswith(
        "limits that were set for budgets that cdk.json does not have:\n"
        "  llm for u-1: $2,000.00; spendfuse budgets unset llm --for u-1\n"
        "  old: $3.00; spendfuse budgets unset old\n"
    )
    assert [(each["budget"], each["value"]) for each in in_json] == [("llm", "u-1"), ("old", None)]
    assert run(context, "unset", "old").exit_code == 0
    assert run(context, "unset", "llm", "--for", "u-1").exit_code == 0
    assert stored() == {}


@pytest.mark.parametrize(
    ("sk", "arguments"),
    [
        ("llm#", ("llm",)),
        ("user-day#u-17", ("user-day", "--for", "u-17")),
        ("old#u-1", ("old", "--for", "u-1")),
    ],
)
def test_a_limit_that_can_t_be_read_can_be_removed(
    context: Context, sk: str, arguments: tuple[str, ...]
) -> None:
    put("budgets", f"override#{sk}", {"limit_nano_usd": {"S": "much"}})
    removed = run(context, "unset", *arguments)
    rows = aws("dynamodb").scan(TableName="ledger")["Items"]

    assert removed.exit_code == 0
    assert "Removed a limit that could not be read" in removed.output
    assert not [row for row in rows if row["sk"]["S"].startswith("override#")]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("set", "serch", "5"), "there is no budget 'serch'; did you mean 'search'? there are: "),
        (("show", "nothing-near"), "there is no budget 'nothing-near'; there are: llm, pilot, "),
        (("set", "burst", "5"), "'burst' is a rate, not a budget; its dollars a minute are set in"),
        (("set", "llm", "0"), "got '0'; the limit must be above 0"),
        (("set", "llm", "--", "-5"), "got '-5'; the limit must be above 0"),
        (("set", "llm", "1e-10"), "finer than a nano-dollar"),
        (("set", "llm", "nan"), "got 'nan'; write an amount in dollars"),
        (("set", "llm", "2000000000"), "the limit may be $1,000,000,000 at most"),
        (("set", "llm", "5", "--for", "u"), "llm is one budget for all; leave --for out"),
        (("set", "user-day", "5", "--for", ""), "a user of 1 to 256 bytes is needed"),
        (("set", "user-day", "5", "--for", "x" * 257), "a user of 1 to 256 bytes is needed"),
        (("show", "llm", "--for", "u"), "llm is one budget for all; leave --for out"),
        (("show", "llm", "--period", "2026-11-21"), "is not the key of a month; llm is in 2026-11"),
        (("unset", "serch"), "there is no budget 'serch'; did you mean 'search'?"),
        (("unset", "x" * 2000), "there is no budget 'xxx"),
        (("unset", "user-day", "--for", "x" * 2000), "a user of 1 to 256 bytes is needed"),
        (("show", "llm", "--period", "9999-12"), "'9999-12' is not the key of a month"),
    ],
)
def test_wrong_usage_says_what_to_write_and_changes_nothing(
    context: Context, arguments: tuple[str, ...], sentence: str
) -> None:
    command, *rest = arguments
    reason = ("--reason", "x") if command == "set" else ()
    result = run(context, command, *reason, *rest)

    assert result.exit_code == 2
    assert sentence in result.output
    assert stored() == {}


@pytest.mark.parametrize("reason", ["", "  ", "two\nlines", "\x1b[2J", "x" * 201])
def test_a_reason_is_one_line_of_text(context: Context, reason: str) -> None:
    assert run(context, "set", "llm", "2000", "--reason", reason).exit_code == 2
    assert stored() == {}


def test_no_user_s_id_can_move_the_terminal_s_cursor(context: Context) -> None:
    was_set("user-day", 20, "\x1b[2J", reason="\x1b[31m", by="\x07")
    commands = (["list"], ["show", "user-day"], ["show", "user-day", "--for", "\x1b[2J"])
    # In colour, as on a terminal: elsewhere click takes such codes out by itself.
    outputs = [
        CliRunner().invoke(main, ["budgets", *each], obj=context, color=True).output
        for each in commands
    ]

    assert not [each for each in outputs if "\x1b" in each or "\x07" in each]
    assert '"\\u001b[2J"' in outputs[0]


def test_the_command_that_takes_a_limit_back_moves_no_cursor_and_can_be_pasted(
    context: Context,
) -> None:
    odd = "é\x1b[2J'\n$x"
    arguments = ["budgets", "set", "user-day", "20", "--for", odd, "--reason", "x"]
    output = CliRunner().invoke(main, arguments, obj=context, color=True).output
    command = output.splitlines()[-1].partition(": ")[2]
    words = subprocess.run(
        ["bash", "-c", f"printf '%s|' {command}"], capture_output=True, text=True, check=True
    ).stdout.split("|")

    assert "\x1b" not in output
    assert words[:-1] == ["spendfuse", "budgets", "unset", "user-day", "--for", odd]


def test_before_the_first_minute_the_budgets_are_those_of_cdk_json(undeployed: Context) -> None:
    result = run(undeployed, "list")

    assert "these are cdk.json's" in result.stderr
    assert "$812.40  $1,000.00  81.2 %  cdk.json" in result.stdout


def test_the_stage_of_the_deployment_is_laid_over_cdk_json(undeployed: Context) -> None:
    undeployed.deployment = "acme-dev"

    by_itself = shown(undeployed, "show", "llm")
    by_name = shown(undeployed, "show", "llm", "--file", "cdk.json")

    assert by_itself["limit_usd"] == by_name["limit_usd"] == "50"


@pytest.mark.parametrize("deployment", ["other", "acme-prod"])
def test_the_cdk_json_of_another_deployment_is_not_taken_for_its_own(
    undeployed: Context, deployment: str
) -> None:
    undeployed.deployment = deployment
    result = run(undeployed, "list")

    assert result.exit_code == 1
    assert f"{deployment} has not written its budgets down yet" in result.output
    assert "cdk.json here is of acme" in result.output


def test_without_any_definitions_it_says_to_try_again(undeployed: Context) -> None:
    Path("cdk.json").unlink()
    result = run(undeployed, "list")

    assert result.exit_code == 1
    assert "cdk.json here is of no deployment; try again in a minute" in result.output


def test_the_deployed_budgets_beat_a_cdk_json_that_was_edited_since(context: Context) -> None:
    Path("cdk.json").write_text(json.dumps({"context": {"spendfuse": {**BLOCK, "budgets": []}}}))

    assert len(shown(context, "list")["budgets"]) == 4


def test_a_file_of_an_app_s_own_can_be_listed_and_its_limits_set(context: Context) -> None:
    own = [
        {"name": "feature-day", "per": "feature", "period": "day", "limit_usd": 3},
        {"name": "batch", "match": {"feature": "batch"}, "limit_usd": 7},
    ]
    Path("budgets.json").write_text(json.dumps({"budgets": own}))
    done = run(context, "set", "batch", "9", "--file", "budgets.json", "--reason", "x")
    batch = shown(context, "show", "batch", "--file", "budgets.json")

    assert done.exit_code == 0
    assert "Spent" not in done.output
    assert (batch["limit_usd"], batch["spent_usd"], batch["source"]) == ("9", None, "budgets.json")
    assert "not counted: the deployment has no budget of this name" in (
        run(context, "show", "batch", "--file", "budgets.json").output
    )


def test_a_deployment_from_before_budgets_could_be_set_is_told_to_deploy(context: Context) -> None:
    context._outputs = {"FuseName": "acme"}
    result = run(context, "list")

    assert result.exit_code == 1
    assert "have no output LedgerTableName; deploy this version first" in result.output


def test_a_limit_of_nothing_is_shown_without_a_share(context: Context) -> None:
    was_set("llm", 0)
    llm = shown(context, "show", "llm")

    assert (llm["limit_usd"], llm["used_percent"]) == ("0", None)
    assert "$812.40, -; $812.40 over" in run(context, "show", "llm").output
    assert run(context, "list").exit_code == 0


def test_definitions_of_another_version_say_which_one_to_use(context: Context) -> None:
    put("budgets", "definitions", {"version": {"S": "v"}, "json": {"S": '{"budgets": 1}'}})
    result = run(context, "list")

    assert result.exit_code == 1
    assert "use the version of spendfuse that was deployed, or deploy this one" in result.output
