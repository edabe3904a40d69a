"""``spendfuse prices cost``: a call's price to the nano-dollar, or a sentence that says why not."""

from __future__ import annotations

import json
import sys
from decimal import ROUND_CEILING, Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.cli.price_cli import EXAMPLE, NOW, acme, one_line, run, shown

from spendfuse.cli.price_json import cost_json
from spendfuse.cli.price_layout import dollars, plain
from spendfuse.metering import PriceBook, Usage

NANO = Decimal("1e-9")


def test_the_cost_of_a_call_is_text_with_its_parts() -> None:
    cost = shown("cost", "openai", "gpt-4o", "--usage", EXAMPLE)

    # 80 x 2.50 + 1920 x 1.25 + 300 x 10, per million
    assert cost["cost_usd"] == "0.0056"
    assert cost["cost_nano_usd"] == 5_600_000
    assert (cost["provider"], cost["model"], cost["matched"]) == ("openai", "gpt-4o", "gpt-4o")
    assert (cost["tier"], cost["at"]) == ("standard", "2026-11-21T12:00:00.000Z")
    assert {each["unit"]: each for each in cost["parts"]} == {
        "input_tokens": {
            "unit": "input_tokens",
            "count": 80,
            "usd_per": "2.5",
            "per": 1_000_000,
            "usd": "0.0002",
        },
        "cached_input_tokens": {
            "unit": "cached_input_tokens",
            "count": 1920,
            "usd_per": "1.25",
            "per": 1_000_000,
            "usd": "0.0024",
        },
        "output_tokens": {
            "unit": "output_tokens",
            "count": 300,
            "usd_per": "10",
            "per": 1_000_000,
            "usd": "0.003",
        },
    }
    assert cost["price_version"] == PriceBook.standard().version
    assert cost["source"].startswith("https://")


def test_people_get_a_small_table(tmp_path: Path) -> None:
    result = run(
        "cost", "acme", "Large", "--usage", EXAMPLE, "--overrides", acme(tmp_path), "--at",
        "2026-11-20",
    )  # fmt: skip

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[:8] == [
        "acme Large, standard",
        "",
        "  unit                 count        price       cost",
        "  input_tokens            80   $3.00 / 1M  $0.000240",
        "  cached_input_tokens  1,920   $0.30 / 1M  $0.000576",
        "  output_tokens          300  $12.00 / 1M  $0.003600",
        "  total                                    $0.004416",
        "",
    ]
    assert lines[8:10] == [
        "At 2026-11-20, price from 2026-05-01",
        "Source https://acme.example/prices/may",
    ]
    assert lines[10].startswith("Book genai-prices-")
    assert lines[10].endswith("+acme-1")


@pytest.mark.parametrize(
    ("at", "usd", "price_from"),
    [
        ("2026-04-30", "0.015", None),
        ("2026-05-01", "0.012", "2026-05-01"),
        ("2026-05-01T00:30:00+02:00", "0.015", None),
        ("2026-04-30T22:30:00-02:00", "0.012", "2026-05-01"),
    ],
)
def test_a_price_holds_from_its_day_in_utc(
    tmp_path: Path, at: str, usd: str, price_from: str | None
) -> None:
    cost = shown(
        "cost", "acme", "large", "--usage", '{"output_tokens": 1000}', "--at", at, "--overrides",
        acme(tmp_path),
    )  # fmt: skip

    assert (cost["cost_usd"], cost["price_from"]) == (usd, price_from)


def test_an_old_call_has_the_old_price_of_the_book() -> None:
    usage = ("--usage", '{"output_tokens": 1000000}')

    assert shown("cost", "openai", "o3", *usage, "--at", "2025-06-09")["cost_usd"] == "40"
    assert shown("cost", "openai", "o3", *usage, "--at", "2025-06-10")["cost_usd"] == "8"


@pytest.mark.parametrize(
    ("options", "tier", "usd"),
    [
        (["--batch"], "batch", "0.0028"),
        (["--tier", "default"], "standard", "0.0056"),
        (["--tier", "batch"], "batch", "0.0028"),
    ],
)
def test_a_way_of_processing_has_its_own_price(options: list[str], tier: str, usd: str) -> None:
    cost = shown("cost", "openai", "gpt-4o", "--usage", '{"input_tokens": 2240}', *options)

    assert (cost["tier"], cost["cost_usd"]) == (tier, usd)


def test_flex_is_a_tier() -> None:
    cost = shown("cost", "openai", "o3", "--usage", EXAMPLE, "--tier", "flex")

    # 80 x 1 + 1920 x 0.25 + 300 x 4, per million
    assert (cost["tier"], cost["cost_usd"]) == ("flex", "0.00176")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--tier", "turbo"], "there is no tier 'turbo'; there are fast, flex, priority"),
        (["--tier", "flex", "--batch"], "a call is either in a batch or of tier 'flex'"),
        (["--tier", "flex"], "gpt-4o has no flex price; there are standard, batch"),
    ],
)
def test_a_way_of_processing_without_a_price_says_which_there_are(
    options: list[str], sentence: str
) -> None:
    result = run("cost", "openai", "gpt-4o", "--usage", EXAMPLE, *options)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert sentence in result.stderr


def test_an_unknown_model_exits_with_4_and_names_the_nearest() -> None:
    result = run("cost", "openai", "gpt-4oo", "--usage", EXAMPLE)

    assert result.exit_code == 4
    assert result.stdout == ""
    assert "the price book has no model 'gpt-4oo' of openai; nearest: " in result.stderr
    assert "gpt-4o" in result.stderr.partition("nearest: ")[2]


def test_an_unknown_model_is_one_json_object_where_json_was_asked_for() -> None:
    result = run("cost", "openai", "gpt-4oo", "--usage", EXAMPLE, "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 4
    assert told.keys() == {"error", "nearest"}
    assert "gpt-4o" in told["nearest"]
    assert one_line(result.stderr) == f"Error: {told['error']}"


WRONG_USAGE = [
    ("", "the usage is no JSON: Expecting value"),
    ("{", "the usage is no JSON"),
    ("{'input_tokens': 1}", "the usage is no JSON"),
    ('{"input_tokens": 1} x', "the usage is no JSON: Extra data"),
    ("[" * 100_000, "the usage is no JSON"),
    ("9" * 5_000, "the usage is no JSON"),
    ("[]", "usage must be a mapping of counts"),
    ("null", "usage must be a mapping of counts"),
    ("12", "usage must be a mapping of counts"),
    ("{}", "usage must be a mapping of counts"),
    ('{"input_tokens": NaN}', "input_tokens must be a whole number, got nan"),
    ('{"input_tokens": Infinity}', "input_tokens must be a whole number, got inf"),
    ('{"input_tokens": 1e999}', "input_tokens must be a whole number, got inf"),
    ('{"input_tokens": 1.5}', "input_tokens must be a whole number, got 1.5"),
    ('{"input_tokens": true}', "input_tokens must be a whole number, got True"),
    ('{"input_tokens": "12"}', "input_tokens must be a whole number, got"),
    ('{"input_tokens": -5}', "input_tokens must not be negative, got -5"),
    ('{"input_tokens": 10000000000000}', "input_tokens must be at most 1000000000000"),
    (
        '{"input_tokens": 10, "cached_input_tokens": 11}',
        "cached_input_tokens (11) can't be more than input_tokens (10)",
    ),
    ('{"input_tokens": 1, "output_tokns": 2}', "output_tokns; did you mean output_tokens?"),
    ('{"input_tokens": 1, "colour": 2}', "unknown count colour"),
    ('{"input_tokens": 1, "input_tokens": 2}', "the usage has 'input_tokens' twice"),
    ('{"total_tokens": 5}', "total_tokens alone doesn't tell input from output"),
]


@pytest.mark.parametrize(("usage", "sentence"), WRONG_USAGE)
def test_a_wrong_usage_is_refused_in_a_sentence(usage: str, sentence: str) -> None:
    result = run("cost", "openai", "gpt-4o", "--usage", usage)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert sentence in result.stderr


@pytest.mark.parametrize(("usage", "sentence"), WRONG_USAGE[3::6])
def test_an_error_is_json_too_where_json_was_asked_for(usage: str, sentence: str) -> None:
    result = run("cost", "openai", "gpt-4o", "--usage", usage, "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert told.keys() == {"error"}
    assert sentence in told["error"]


def test_a_unit_without_a_price_is_refused() -> None:
    result = run("cost", "openai", "gpt-4o", "--usage", '{"input_tokens": 1, "pages": 3}')

    assert result.exit_code == 1
    assert "openai gpt-4o has no price for pages (3)" in result.stderr


@pytest.mark.parametrize(
    "at",
    ["yesterday", "2025-13-01", "2025-02-30", "01/05/2025", "", "2025-05-01T12:00:00", "0001-01-01",
     "9999-12-31", "1e3", "12"],
)  # fmt: skip
def test_a_time_that_is_none_is_wrong_usage_of_the_command(at: str) -> None:
    result = run("cost", "openai", "gpt-4o", "--usage", EXAMPLE, "--at", at)

    assert result.exit_code == 2
    assert result.stdout == ""
    assert f"2025-05-01T12:00:00Z, got '{at}'" in one_line(result.stderr)


@pytest.mark.parametrize("arguments", [("openai",), ("openai", "gpt-4o"), ("a", "b", "c")])
def test_a_missing_argument_is_wrong_usage_of_the_command(arguments: tuple[str, ...]) -> None:
    result = run("cost", *arguments)

    assert result.exit_code == 2
    assert "Usage: " in result.stderr


def test_the_usage_may_stand_in_a_file_or_come_in_a_pipe(tmp_path: Path) -> None:
    file = tmp_path / "usage.json"
    file.write_text(EXAMPLE)
    from_file = run("cost", "openai", "gpt-4o", "--usage", f"@{file}", "--json")
    from_pipe = run("cost", "openai", "gpt-4o", "--usage", "-", "--json", input=EXAMPLE)

    assert json.loads(from_file.stdout)["cost_usd"] == "0.0056"
    assert from_pipe.stdout == from_file.stdout


def test_a_provider_s_own_usage_is_taken_as_it_is() -> None:
    counts = {"prompt_tokens": 2000, "completion_tokens": 300, "total_tokens": 2300}
    own = json.dumps({**counts, "prompt_tokens_details": {"cached_tokens": 1920}})

    assert shown("cost", "openai", "gpt-4o", "--usage", own)["cost_usd"] == "0.0056"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "usage.json can't be read: No such file or directory"),
        (b"\xff\xfe", "usage.json is no text in UTF-8"),
        (b" " * 100_001, "usage.json is longer than 100,000 characters"),
        (b"", "the usage is no JSON"),
    ],
)
def test_a_usage_file_that_can_not_be_read_is_told(
    tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    file = tmp_path / "usage.json"
    if content is not None:
        file.write_bytes(content)
    result = run("cost", "openai", "gpt-4o", "--usage", f"@{file}")

    assert result.exit_code == 1
    assert sentence in result.stderr


@pytest.mark.parametrize("usage", ["-", "@"])
def test_no_usage_at_all_is_told(monkeypatch: pytest.MonkeyPatch, usage: str) -> None:
    monkeypatch.setattr("spendfuse.cli.price_options.sys", type("Closed", (), {"stdin": None}))
    result = run("cost", "openai", "gpt-4o", "--usage", usage)

    assert result.exit_code == 1
    assert "there is no usage to read" in result.stderr


def test_the_model_alone_may_tell_the_provider() -> None:
    cost = shown("cost", "", "gpt-4o-2024-08-06", "--usage", EXAMPLE)

    assert (cost["provider"], cost["matched"], cost["cost_usd"]) == ("openai", "gpt-4o", "0.0056")


def test_the_flag_beats_the_variable(tmp_path: Path) -> None:
    own = acme(tmp_path)
    other = tmp_path / "other.yaml"
    other.write_text("schema: 1\nprices: []\n")
    call = ("cost", "acme", "tiny", "--usage", '{"input_tokens": 1}')

    assert run(*call, env={"SPENDFUSE_PRICES": own}).exit_code == 0
    assert run(*call, "--overrides", own, env={"SPENDFUSE_PRICES": str(other)}).exit_code == 0
    assert run(*call, "--overrides", str(other), env={"SPENDFUSE_PRICES": own}).exit_code == 4
    assert run(*call).exit_code == 4


def test_overrides_that_can_not_be_read_are_told_with_all_their_mistakes(tmp_path: Path) -> None:
    missing = run("cost", "openai", "gpt-4o", "--usage", EXAMPLE, "--overrides", "nowhere.yaml")
    wrong = acme(tmp_path, "schema: 1\nprices:\n  - {provider: x, models: 3, usd: {colour: 1}}\n")
    mistaken = run("cost", "openai", "gpt-4o", "--usage", EXAMPLE, "--overrides", wrong)

    assert (missing.exit_code, mistaken.exit_code) == (1, 1)
    assert "the price overrides nowhere.yaml can't be read" in missing.stderr
    assert "prices[0].models: expected a list" in mistaken.stderr
    assert "prices[0].usd.colour: unknown unit" in mistaken.stderr


def test_what_is_free_is_said_to_be_free(tmp_path: Path) -> None:
    call = ("cost", "acme", "on-premise", "--usage", EXAMPLE, "--overrides", acme(tmp_path))
    cost = shown(*call)

    assert (cost["cost_usd"], cost["cost_nano_usd"], cost["parts"]) == ("0", 0, [])
    assert "$0.00: the price overrides say that it is free" in run(*call).output


def test_a_tiny_cost_has_no_exponent(tmp_path: Path) -> None:
    cost = shown(
        "cost", "acme", "tiny", "--usage", '{"input_tokens": 1}', "--overrides", acme(tmp_path)
    )

    assert (cost["cost_usd"], cost["parts"][0]["usd"]) == ("0.00000002", "0.00000002")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "spendfuse.metering.genai_prices", raising=False)
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    result = run("cost", "openai", "gpt-4o", "--usage", EXAMPLE)

    assert result.exit_code == 1
    assert "the price book needs genai_prices; pip install 'spendfuse[prices]'" in result.stderr


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> PriceBook:
    """A book with prices far below a nano-dollar a token."""
    entry = "{input_tokens: 0.0003, cached_input_tokens: 0.00007, output_tokens: 0.0011}"
    text = f"schema: 1\nprices:\n  - {{provider: acme, models: [odd], usd: {entry}}}\n"
    return PriceBook.standard(Path(acme(tmp_path_factory.mktemp("book"), text)))


@given(st.integers(0, 10**12), st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_parts_add_up_to_the_cost_rounded_up_once(
    book: PriceBook, output: int, cached: int, fresh: int
) -> None:
    usage = Usage(input_tokens=cached + fresh, cached_input_tokens=cached, output_tokens=output)
    cost = cost_json(book.price("acme", "odd", usage, at=NOW), "odd", NOW)

    parts = sum((Decimal(each["usd"]) for each in cost["parts"]), Decimal(0))
    assert Decimal(cost["cost_usd"]) == parts.quantize(NANO, ROUND_CEILING)
    assert cost["cost_nano_usd"] == Decimal(cost["cost_usd"]) / NANO


@given(st.decimals(min_value=0, max_value=10**9, places=15))
def test_money_as_text_is_exact_and_plain(amount: Decimal) -> None:
    assert Decimal(plain(amount)) == amount
    assert set(plain(amount)) <= set("0123456789.")
    assert plain(Decimal("2E+1")) == "20"


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "$0.00"),
        ("2E+1", "$20.00"),
        ("1234.5", "$1,234.50"),
        ("0.075", "$0.075"),
        ("1E-9", "$0.000000001"),
        ("0.18000000000000002", "$0.18"),
    ],
)
def test_money_for_people_has_two_decimals_at_least(amount: str, text: str) -> None:
    assert dollars(Decimal(amount)) == text
