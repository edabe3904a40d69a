"""A tracker from the environment, and all of its mistakes at once."""

from __future__ import annotations

import io
import json

import pytest

from spendfuse.errors import SettingsError
from spendfuse.metering.settings import VARIABLES, tracker_from_env
from spendfuse.metering.sinks import Wiring


def test_the_environment_makes_a_tracker(tmp_path) -> None:
    key = tmp_path / "key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    environ = {
        "SPENDFUSE_SINKS": f"jsonl:{tmp_path / 'usage'},print",
        "SPENDFUSE_ATTRIBUTES": "environment=prod, team=search",
        "SPENDFUSE_UNKNOWN_MODELS": "unpriced",
        "SPENDFUSE_WARN_ABOVE_USD": "0.05",
        "SPENDFUSE_PSEUDONYM_KEY_FILE": str(key),
    }
    screen = io.StringIO()
    tracker = tracker_from_env(environ, wiring=Wiring(stream=screen))
    tracker.track_usage("anna", "/chat", "gpt-4o", {"prompt_tokens": 9, "completion_tokens": 3})
    tracker.track("no-such-model", {"prompt_tokens": 9})
    tracker.close()

    (file,) = (tmp_path / "usage").iterdir()
    first, second = map(json.loads, file.read_text().splitlines())
    assert first["attributes"]["environment"] == "prod"
    assert first["attributes"]["user"].startswith("p_")
    assert first["cost_usd"] == "0.000052500"
    assert second["cost_usd"] is None
    assert "gpt-4o" in screen.getvalue()


def test_every_mistake_is_reported_at_once(tmp_path) -> None:
    environ = {
        "SPENDFUSE_ATTRIBUTES": "team",
        "SPENDFUSE_UNKNOWN_MODELS": "zero",
        "SPENDFUSE_WARN_ABOVE_USD": "-1",
        "SPENDFUSE_PRICES": str(tmp_path / "no.yaml"),
        "SPENDFUSE_PSEUDONYM_KEY_FILE": str(tmp_path / "none"),
    }
    with pytest.raises(SettingsError) as error:
        tracker_from_env(environ)

    lines = str(error.value).splitlines()
    named = [name for name in VARIABLES if any(line.startswith(name) for line in lines)]
    assert set(named) == set(VARIABLES)
    assert "'zero'" in str(error.value)


def test_a_file_of_prices_that_is_not_there_is_said_before_any_sink_opens(tmp_path) -> None:
    environ = {
        "SPENDFUSE_SINKS": f"jsonl:{tmp_path / 'usage'}",
        "SPENDFUSE_PRICES": str(tmp_path / "prices.yaml"),
    }
    with pytest.raises(SettingsError, match=r"prices\.yaml can't be read"):
        tracker_from_env(environ)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SPENDFUSE_SINKS", "[{", "SPENDFUSE_SINKS: "),
        ("SPENDFUSE_WARN_ABOVE_USD", "0.00000000001", "finer than a nano-dollar"),
    ],
)
def test_a_mistake_names_its_variable_once(tmp_path, name, value, said) -> None:
    environ = {"SPENDFUSE_SINKS": "print"} | {name: value}
    with pytest.raises(SettingsError) as error:
        tracker_from_env(environ)

    assert str(error.value).count(name) == 1
    assert said in str(error.value)
