"""``spendfuse prices diff``: between two days, or by somebody's overrides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from unit.cli.price_cli import acme, one_line, run, shown


def changes(*arguments: str) -> list[tuple[Any, ...]]:
    return [
        (each["provider"], each["model"], each["from"], each["until"])
        for each in shown("diff", *arguments)["changes"]
    ]


def test_a_change_between_two_days_is_shown_with_its_day() -> None:
    page = shown("diff", "openai", "--from", "2025-06-01", "--to", "2025-06-30")
    (change,) = [each for each in page["changes"] if each["model"] == "o3"]

    assert (change["provider"], change["from"], change["until"]) == ("openai", "2025-06-10", None)
    assert {each["unit"]: each for each in change["prices"]["standard"]}["output_tokens"] == {
        "unit": "output_tokens",
        "above_input_tokens": 0,
        "before": "40",
        "after": "8",
        "change_percent": "-80.0",
    }
    assert "batch" in change["prices"]


@pytest.mark.parametrize(
    ("begin", "end", "expected"),
    [
        ("2026-04-01", "2026-04-30", []),
        ("2026-04-01", "2026-05-01", ["large"]),
        ("2026-04-30T23:59:59Z", "2026-05-01T00:00:00Z", ["large"]),
        ("2026-05-01", "2026-05-31", []),
        ("2026-05-01T00:30:00+02:00", "2026-05-02", ["large"]),
        ("2026-04-01", "2026-06-01", ["large", "summer"]),
        ("2026-08-01", "2026-10-01", ["summer"]),
    ],
)
def test_the_price_of_the_first_day_is_no_change_and_that_of_the_last_is(
    tmp_path: Path, begin: str, end: str, expected: list[str]
) -> None:
    found = changes("acme", "--from", begin, "--to", end, "--overrides", acme(tmp_path))

    assert [model for _, model, *_ in found] == expected


def test_until_now_is_what_is_meant_without_an_end(tmp_path: Path) -> None:
    own = acme(tmp_path)

    assert len(changes("acme", "--from", "2026-04-01", "--overrides", own)) == 3
    assert changes("acme", "--from", "2026-11-21", "--overrides", own) == []


def test_people_get_before_and_after(tmp_path: Path) -> None:
    result = run(
        "diff", "acme", "--from", "2026-04-01", "--to", "2026-05-31", "--overrides", acme(tmp_path)
    )

    assert result.output.splitlines() == [
        "Prices that change after 2026-04-01 and up to 2026-05-31",
        "",
        "                             before   after   change",
        "  acme large, from 2026-05-01",
        "    standard  output_tokens  $15.00  $12.00  -20.0 %",
        "    batch: by the same percentages",
    ]


def test_no_change_is_said() -> None:
    result = run("diff", "openai", "--from", "2026-11-20", "--to", "2026-11-20")

    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == "No listed model's price changes."


OWN = """
schema: 1
prices:
  - provider: openai
    models: [gpt-4o]
    from: 2026-01-01
    until: 2027-01-01
    usd: {output_tokens: 9}
  - provider: openai
    models: [gpt-4o]
    from: 2026-07-01
    until: 2027-01-01
    usd: {output_tokens: 9}
  - provider: openai
    models: ["of-ours-*"]
    like: openai/gpt-4o
  - provider: acme
    models: [new]
    usd: {input_tokens: {base: 1, above: {200000: 2}}}
  - provider: acme
    models: [on-premise]
    free: true
"""


def test_what_overrides_change_is_shown_for_all_times(tmp_path: Path) -> None:
    own = acme(tmp_path, OWN)
    page = shown("diff", "--overrides", own)
    by_model = {each["model"]: each for each in page["changes"]}

    assert changes("--overrides", own) == [
        ("acme", "new", None, None),
        ("acme", "on-premise", None, None),
        ("openai", "gpt-4o", "2026-01-01", "2027-01-01"),
    ]
    assert by_model["gpt-4o"]["prices"]["standard"] == [
        {
            "unit": "output_tokens",
            "above_input_tokens": 0,
            "before": "10",
            "after": "9",
            "change_percent": "-10.0",
        }
    ]
    assert [
        (each["above_input_tokens"], each["before"], each["after"])
        for each in by_model["new"]["prices"]["standard"]
    ] == [(0, None, "1"), (200_000, None, "2")]
    assert by_model["on-premise"]["prices"]["standard"][0]["after"] == "0"
    assert page["unlisted"] == [{"provider": "openai", "model": "of-ours-*"}]


def test_people_are_told_of_names_that_no_listed_model_has(tmp_path: Path) -> None:
    result = run("diff", "openai", "--overrides", acme(tmp_path, OWN))

    page = result.output.splitlines()
    assert page[3] == "  openai gpt-4o, from 2026-01-01 until 2027-01-01"
    assert page[-2:] == [
        "No listed model has one of these names; their prices hold where they are written:",
        "  openai of-ours-*",
    ]


def test_the_variable_names_overrides_too(tmp_path: Path) -> None:
    result = run("diff", "--json", env={"SPENDFUSE_PRICES": acme(tmp_path, OWN)})

    assert len(json.loads(result.stdout)["changes"]) == 3


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "name a day with --from, or your overrides with --overrides"),
        (("--to", "2026-01-01"), "name a day with --from"),
        (("--from", "2026-01-02", "--to", "2026-01-01"), "2026-01-01T00:00:00.000Z is before"),
        (("--from", "2027-01-01"), "is before --from"),
        (("--from", "soon"), "expected a day (UTC)"),
    ],
)
def test_days_that_make_no_sense_are_wrong_usage_of_the_command(
    options: tuple[str, ...], sentence: str
) -> None:
    result = run("diff", *options)

    assert result.exit_code == 2
    assert sentence in one_line(result.stderr)
