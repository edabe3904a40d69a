"""``spendfuse prices show`` and ``list``: what models cost, now and before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unit.cli.price_cli import acme, one_line, run, shown


def lines(*arguments: str, columns: int = 80) -> list[str]:
    result = run(*arguments, env={"COLUMNS": str(columns)})

    assert result.exit_code == 0, result.output
    return result.output.splitlines()


def test_a_model_s_prices_have_tiers_ways_of_processing_and_a_history(tmp_path: Path) -> None:
    page = lines("show", "acme", "large", "--overrides", acme(tmp_path))

    assert page[:-1] == [
        "acme large",
        "At 2026-11-21T12:00:00Z: the prices from 2026-05-01",
        "",
        "  unit                       standard  batch",
        "  input_tokens         / 1M     $3.00  $1.50",
        "  cached_input_tokens  / 1M     $0.30  $0.15",
        "  output_tokens        / 1M    $12.00  $6.00",
        "  above 200,000 input tokens",
        "  input_tokens         / 1M     $6.00  $3.00",
        "",
        "History, standard processing",
        "  from        output",
        "  2026-05-01  $12.00  now",
        "  before      $15.00",
        "",
        "Source https://acme.example/prices/may",
    ]
    assert page[-1].startswith("Book genai-prices-")


def test_a_day_of_the_past_has_the_prices_of_then(tmp_path: Path) -> None:
    page = lines("show", "acme", "large", "--at", "2026-04-30", "--overrides", acme(tmp_path))

    assert page[1] == "At 2026-04-30: the prices until 2026-05-01"
    assert "  before      $15.00  now" in page


def test_prices_as_json_hold_all_of_it(tmp_path: Path) -> None:
    page = shown("show", "acme", "LARGE", "--overrides", acme(tmp_path))

    assert (page["provider"], page["model"], page["matched"]) == ("acme", "LARGE", "large")
    assert (page["from"], page["until"], page["hours"]) == ("2026-05-01", None, [])
    assert page["prices"].keys() == {"standard", "batch"}
    assert page["prices"]["batch"]["input_tokens"] == {
        "usd": "1.5",
        "per": 1_000_000,
        "tiers": [{"above_input_tokens": 200_000, "usd": "3"}],
    }
    assert [(each["from"], each["until"]) for each in page["history"]] == [
        (None, "2026-05-01"),
        ("2026-05-01", None),
    ]
    assert page["history"][0]["prices"]["standard"]["output_tokens"]["usd"] == "15"


def test_prices_by_the_hour_are_told_apart() -> None:
    night = shown("show", "deepseek", "deepseek-chat", "--at", "2025-09-01T20:00:00Z")
    day = shown("show", "deepseek", "deepseek-chat", "--at", "2025-09-01T12:00:00Z")
    page = lines("show", "deepseek", "deepseek-chat", "--at", "2025-09-01T20:00:00Z")

    assert night["hours"] == [{"from": "16:30", "until": "00:30"}]
    assert night["prices"]["standard"]["input_tokens"]["usd"] == "0.135"
    assert day["hours"] == [{"from": "00:30", "until": "16:30"}]
    assert day["prices"]["standard"]["input_tokens"]["usd"] == "0.27"
    assert page[1].endswith(", at 16:30-00:30 UTC")
    assert any("  16:30-00:30  " in each and each.endswith("now") for each in page)


def test_a_day_without_a_price_is_told(tmp_path: Path) -> None:
    own = acme(tmp_path)
    result = run("show", "acme", "summer", "--at", "2026-10-01", "--overrides", own)

    assert result.exit_code == 1
    assert "'summer' has no price at 2026-10-01; name another day with --at" in result.stderr
    assert shown("show", "acme", "summer", "--at", "2026-07-01", "--overrides", own)["until"] == (
        "2026-09-01"
    )


def test_a_free_model_is_shown_as_free(tmp_path: Path) -> None:
    call = ("show", "acme", "on-premise", "--overrides", acme(tmp_path))

    assert lines(*call)[3].startswith("  Free, say the price overrides: standard")
    assert shown(*call)["prices"]["standard"] == {"free": True}


@pytest.mark.parametrize("provider", ["openai", "opnai"])
def test_an_unknown_model_exits_with_4(provider: str) -> None:
    result = run("show", provider, "no-such-thing", "--json")

    assert result.exit_code == 4
    assert json.loads(result.stdout).keys() == {"error", "nearest"}


def test_models_are_listed_below_their_provider(tmp_path: Path) -> None:
    page = lines("list", "acme", "--overrides", acme(tmp_path), columns=60)

    assert page == [
        "US dollars per million tokens, standard processing",
        "",
        "acme                input cached input       output",
        "  large             $3.00        $0.30       $12.00",
        "  on-premise  free",
        "  summer      no price",
        "  tiny              $0.02         -            -",
        "  voice       audio seconds $0.36 / hour",
    ]


def test_a_name_that_is_too_long_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    entry = f"{{provider: acme, models: [{'x' * 70}], usd: {{input_tokens: 3}}}}"
    own = acme(tmp_path, f"schema: 1\nprices:\n  - {entry}\n")
    page = lines("list", "acme", "--overrides", own)

    assert page[3] == f"  {'x' * 70}"
    assert page[4].split() == ["$3.00", "-", "-"]
    assert len(page[2]) <= 80


@pytest.mark.parametrize("columns", [80, 120])
def test_no_line_of_the_list_is_wider_than_the_terminal(columns: int) -> None:
    assert max(map(len, lines("list", columns=columns))) <= columns


def test_a_list_in_a_pipe_has_each_model_on_one_line() -> None:
    piped = run("list", "openrouter", env={"COLUMNS": None})
    page = [each for each in piped.output.splitlines() if each.startswith("  ")]

    assert len(page) > 100
    assert all(each.split()[1:] for each in page)


def test_a_text_picks_models_by_their_name_whatever_its_case(tmp_path: Path) -> None:
    own = acme(tmp_path)

    assert [each["model"] for each in shown("list", "--match", "ME/LAR", "--overrides", own)[
        "models"
    ]] == ["large"]  # fmt: skip
    assert shown("list", "--match", "no such text")["models"] == []
    assert run("list", "--match", "no such text").output == (
        "No model's name contains 'no such text'.\n"
    )


def test_the_list_as_json_has_text_for_money_and_null_for_no_price(tmp_path: Path) -> None:
    page = shown("list", "acme", "--overrides", acme(tmp_path))
    prices = {each["model"]: each["prices"] for each in page["models"]}

    assert prices["tiny"] == {"input_tokens": {"usd": "0.02", "per": 1_000_000, "tiers": []}}
    assert prices["voice"] == {"audio_seconds": {"usd": "0.36", "per": 3_600, "tiers": []}}
    assert prices["on-premise"] == {"free": True}
    assert prices["summer"] is None


def test_every_name_that_is_listed_can_be_shown() -> None:
    page = shown("list")["models"]
    named = [each for each in page if each["provider"] == "aws"][::40]

    assert len(page) > 1_000
    for each in named:
        assert run("show", each["provider"], each["model"]).exit_code == 0


def test_an_unknown_provider_is_told_with_the_nearest() -> None:
    result = run("list", "opnai")

    assert result.exit_code == 1
    assert "the price book has no provider 'opnai'; nearest: openai" in one_line(result.stderr)


def test_a_provider_s_other_names_are_known() -> None:
    assert {each["provider"] for each in shown("list", "bedrock")["models"]} == {"aws"}
