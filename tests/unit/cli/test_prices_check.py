"""``spendfuse prices check``: our book beside a table in litellm's shape."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from unit.cli.price_cli import acme, one_line, run

from spendfuse.metering.litellm_table import FILE, installed_table

# In litellm's shape, dollars for one token. Ours are in price_cli.
LARGE = {
    "litellm_provider": "acme",
    "mode": "chat",
    "max_tokens": 8192,
    "input_cost_per_token": 3e-06,
    "input_cost_per_token_above_200k_tokens": 6e-06,
    "input_cost_per_token_batches": 1.5e-06,
    "input_cost_per_token_above_200k_tokens_batches": 3e-06,
    "cache_read_input_token_cost": 3e-07,
    "output_cost_per_token": 1.2e-05,
}


def table(folder: Path, **models: Any) -> str:
    path = folder / "table.json"
    path.write_text(json.dumps({"sample_spec": {"input_cost_per_token": 0.1}, **models}))
    return str(path)


def checked(folder: Path, *options: str, **models: Any) -> Any:
    result = run(
        "check",
        "--json",
        "--against",
        table(folder, **models),
        "--overrides",
        acme(folder),
        *options,
    )

    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_same_prices_are_no_difference(tmp_path: Path) -> None:
    report = checked(tmp_path, large=LARGE)

    assert report["differences"] == []
    assert report["providers"] == {
        "acme": {
            "compared": 1,
            "same": 1,
            "differing": 0,
            "missing": 0,
            "without_price": 0,
            "unknown": [],
        }
    }


@pytest.mark.parametrize(
    ("price", "differs"),
    [(1.2e-05, False), (1.2012e-05, False), (1.2013e-05, True), (1.1987e-05, True)],
)
def test_a_difference_begins_above_a_thousandth(
    tmp_path: Path, price: float, differs: bool
) -> None:
    report = checked(tmp_path, large={**LARGE, "output_cost_per_token": price})

    assert bool(report["differences"]) is differs


def test_a_difference_names_both_prices_and_by_how_much(tmp_path: Path) -> None:
    report = checked(tmp_path, large={**LARGE, "cache_read_input_token_cost": 7.5e-07})

    assert report["differences"] == [
        {
            "provider": "acme",
            "model": "large",
            "matched": "large",
            "processing": "standard",
            "unit": "cached_input_tokens",
            "above_input_tokens": 0,
            "ours": "0.3",
            "theirs": "0.75",
            "change_percent": "150.0",
        }
    ]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"input_cost_per_token_batches": 2e-06}, ("batch", "input_tokens", 0, "1.5", "2")),
        (
            {"input_cost_per_token_above_200k_tokens": 9e-06},
            ("standard", "input_tokens", 200_000, "6", "9"),
        ),
        (
            {"input_cost_per_token_above_200k_tokens_batches": 9e-06},
            ("batch", "input_tokens", 200_000, "3", "9"),
        ),
        ({"input_cost_per_token_flex": 1e-06}, ("flex", "input_tokens", 0, None, "1")),
        ({"output_cost_per_token_priority": 3e-05}, ("priority", "output_tokens", 0, None, "30")),
        # What has no price of its own costs what its whole does.
        (
            {"input_cost_per_audio_token": 4e-05},
            ("standard", "input_audio_tokens", 0, "3", "40"),
        ),
        (
            {"cache_creation_input_token_cost": 3.75e-06},
            ("standard", "cache_write_tokens", 0, "3", "3.75"),
        ),
        (
            {"cache_creation_input_token_cost_above_1hr": 6e-06},
            ("standard", "cache_write_1h_tokens", 0, "3", "6"),
        ),
    ],
)
def test_every_kind_of_price_is_compared(
    tmp_path: Path, change: dict[str, float], expected: tuple[Any, ...]
) -> None:
    found = checked(tmp_path, large={**LARGE, **change})["differences"]
    # A tier follows its base where ours has one and theirs has not.
    first = found[0]

    keys = ("processing", "unit", "above_input_tokens", "ours", "theirs")
    assert tuple(first[key] for key in keys) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"output_cost_per_reasoning_token": 0.0, "cache_creation_input_token_cost": 0.0},
        {"input_cost_per_character": 1e-06, "input_cost_per_second": 1e-05},
        {"output_cost_per_image": 0.04, "input_cost_per_pixel": 1e-09},
    ],
)
def test_what_says_the_same_in_other_words_is_no_difference(
    tmp_path: Path, change: dict[str, float]
) -> None:
    model = {**LARGE, "mode": "audio_transcription", **change}

    assert checked(tmp_path, large=model)["differences"] == []


def test_models_are_counted_by_what_came_of_them(tmp_path: Path) -> None:
    report = checked(
        tmp_path,
        large=LARGE,
        **{
            "acme/tiny": {"litellm_provider": "acme", "input_cost_per_token": 1e-06},
            "acme/large": {**LARGE, "input_cost_per_token_flex": 1e-06},
            "acme/huge": {"litellm_provider": "acme", "input_cost_per_token": 1e-06},
            "acme/gift": {"litellm_provider": "acme", "input_cost_per_token": 0.0},
            "acme/picture": {"litellm_provider": "acme", "output_cost_per_image": 0.04},
            "other/model": {"litellm_provider": "other", "input_cost_per_token": 1e-06},
        },
    )  # fmt: skip

    assert report["providers"]["acme"] == {
        "compared": 3,
        "same": 1,
        "differing": 1,
        "missing": 1,
        "without_price": 1,
        "unknown": ["acme/huge"],
    }
    assert report["providers"]["other"]["unknown"] == ["other/model"]


def test_one_provider_may_be_picked(tmp_path: Path) -> None:
    models = {"large": LARGE, "gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 1}}

    assert checked(tmp_path, "acme", **models)["providers"].keys() == {"acme"}
    assert checked(tmp_path, **models)["providers"].keys() == {"acme", "openai"}


def test_a_provider_that_the_table_lacks_is_told(tmp_path: Path) -> None:
    against = table(tmp_path, large=LARGE)

    assert run("check", "openai", "--against", against).output.splitlines()[-1] == (
        "Their table has no model of this provider."
    )


def test_people_get_prices_side_by_side_and_the_counts(tmp_path: Path) -> None:
    other = {**LARGE, "output_cost_per_token": 1.5e-05, "input_cost_per_token_flex": 1e-06}
    tiny = {"litellm_provider": "acme", "input_cost_per_token": 3e-08}
    against = table(tmp_path, **{"tiny": tiny, "large": other, "acme/large": other})
    result = run("check", "--against", against, "--overrides", acme(tmp_path))

    assert result.exit_code == 0
    page = result.output.splitlines()
    assert page[0].startswith("Our book genai-prices-")
    assert page[1:] == [
        f"against  {against}",
        "at 2026-11-21T12:00:00Z",
        "",
        "acme                           ours  theirs   change",
        "  acme/large (and 1 alike)",
        "    standard  output_tokens  $12.00  $15.00  +25.0 %",
        "    we have no flex price; theirs: input $1.00",
        "  tiny",
        "    standard  input_tokens    $0.02   $0.03  +50.0 %",
        "",
        "models of  compared  same  differ  we lack prices  unknown to us",
        "acme              3     0       3               0              0",
    ]


@pytest.mark.parametrize(("price", "code"), [(3e-06, 0), (4e-06, 3)])
def test_a_ci_job_may_fail_on_a_difference(tmp_path: Path, price: float, code: int) -> None:
    against = table(tmp_path, large={**LARGE, "input_cost_per_token": price})
    call = ("check", "--against", against, "--overrides", acme(tmp_path))

    assert run(*call).exit_code == 0
    assert run(*call, "--fail-on-difference").exit_code == code


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "table.json can't be read: No such file or directory"),
        (b"{", "table.json is no JSON"),
        (b"\xff\xfe\x00", "table.json is no JSON"),
        (b"[]", "table.json has no prices; expected an object of models"),
        (b"{}", "table.json has no prices"),
        (b'{"m": {"litellm_provider": "x", "input_cost_per_token": "cheap"}}', "has no prices"),
        (b'{"m": {"litellm_provider": "x", "input_cost_per_token": NaN}}', "has no prices"),
        (b'{"m": {"litellm_provider": "x", "input_cost_per_token": true}}', "has no prices"),
        (b'{"m": {"litellm_provider": "x", "input_cost_per_token": -1}}', "has no prices"),
    ],
)
def test_a_table_that_is_none_is_told(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    path = tmp_path / "table.json"
    if content is not None:
        path.write_bytes(content)
    result = run("check", "--against", str(path))

    assert result.exit_code == 1
    assert sentence in result.stderr


def test_the_table_of_an_installed_litellm_is_found_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "litellm"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / FILE).write_text(json.dumps({"large": LARGE}))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "litellm", raising=False)
    result = run("check", "--json", "--overrides", acme(tmp_path))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["against"] == str(package / FILE)
    assert "litellm" not in sys.modules


def test_without_a_table_it_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)
    result = run("check")

    assert result.exit_code == 1
    assert "litellm is not installed here" in result.stderr
    assert "name it with --against" in one_line(result.stderr)


@pytest.mark.skipif(
    installed_table() is None, reason="litellm is not installed: it is too big to come with us"
)
def test_litellm_s_whole_table_can_be_compared() -> None:
    report = json.loads(run("check", "--json").stdout)

    assert report["providers"]["openai"]["compared"] > 100
    assert report["providers"]["openai"]["same"] > 100
