from __future__ import annotations

import builtins
import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spendfuse.errors import SettingsError
from spendfuse.metering import sinks
from spendfuse.metering.sinks import SINKS, Wiring, open_sinks, sink_specs
from spendfuse.metering.sinks.direct import DirectSink
from spendfuse.metering.sinks.specs import Kind, read_specs


def mistakes(specs: object) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        open_sinks(specs)
    return str(raised.value).splitlines()


@pytest.mark.parametrize(
    ("spec", "mistake"),
    [
        ({}, "kind: is missing; known here: print, logging, jsonl"),
        ({"kind": "jsnol"}, 'kind: got "jsnol"; did you mean "jsonl"? known here: print'),
        ({"kind": 5}, "kind: got 5; known here: print"),
        ({"kind": "jsonl"}, "folder: is missing; add it"),
        ({"kind": "jsonl", "folder": ""}, 'folder: got ""; write a text, such as "usage"'),
        ({"kind": "jsonl", "folder": "u", "max_mb": "big"}, 'max_mb: got "big"; write a whole'),
        ({"kind": "jsonl", "folder": "u", "max_mb": 0}, "number from 1 to 10000"),
        ({"kind": "jsonl", "folder": "u", "max_mb": True}, "max_mb: got true; write a whole"),
        ({"kind": "jsonl", "folder": "u", "max_mb": 1.5}, "max_mb: got 1.5; write a whole"),
        ({"kind": "jsonl", "folder": "u", "fsync": "yes"}, 'fsync: got "yes"; write true or false'),
        (
            {"kind": "jsonl", "folder": "u", "foldr": "v"},
            'foldr: unknown key; did you mean "folder',
        ),
        ({"kind": "print", "stream": "file"}, 'stream: got "file"; write "stdout" or "stderr"'),
        ({"kind": "logging", "level": "LOUD"}, 'write "DEBUG" or "INFO" or "WARNING" or "ERROR"'),
        ({"kind": "bigquery", "table": "calls"}, 'write a text such as "project.dataset.table"'),
        ({"kind": "sqs", "queue_url": "usage"}, 'write a text such as "https://sqs.'),
        ({"kind": "emf", "dimensions": [["user"]]}, "a user is never a dimension"),
        ({"kind": "emf", "dimensions": [["model", "model"]]}, "dimensions: got"),
        ({"kind": "emf", "dimensions": []}, "dimensions: got []; write a list"),
        ({"kind": "emf", "properties": ["model"]}, '"model" would stand there twice'),
        ({"kind": "emf", "properties": "user"}, 'write a list of texts, such as ["user", "team"]'),
        ("print", 'sinks[0]: got "print"; write an object, such as {"kind": "print"}'),
    ],
)
def test_a_mistake_is_named_with_its_path_and_what_to_write(spec: object, mistake: str) -> None:
    (found,) = mistakes([spec])

    assert found.startswith("sinks[0]")
    assert mistake in found


def test_all_mistakes_are_told_at_once() -> None:
    found = mistakes(
        [
            {"kind": "print"},
            {"kind": "jsonl", "max_mb": "big", "daly": True},
            {"kind": "promethues"},
        ]
    )

    assert [line.split(":")[0] for line in found] == [
        "sinks[1].daly",
        "sinks[1].folder",
        "sinks[1].max_mb",
        "sinks[2].kind",
    ]


@pytest.mark.parametrize("specs", ["jsonl:usage", {"kind": "print"}, None, 5])
def test_what_is_no_list_is_refused(specs: object) -> None:
    (found,) = mistakes(specs)

    assert found.startswith("sinks: got ")


def test_no_mistake_shows_what_follows_a_host() -> None:
    (found,) = mistakes([{"kind": "emf", "namespace": {"url": "https://hooks.example/T0/secret"}}])

    assert "https://hooks.example/..." in found
    assert "secret" not in found


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("kind"), inner),
    )
)
def test_whatever_a_configuration_holds_it_is_read_or_refused(raw: Any) -> None:
    with contextlib.suppress(SettingsError):
        read_specs(raw, SINKS)


def test_specs_are_opened_in_their_order_with_what_they_say(tmp_path: Path) -> None:
    stream = io.StringIO()
    opened = open_sinks(
        [
            {"kind": "jsonl", "folder": str(tmp_path / "usage"), "daily": False},
            {"kind": "print"},
            {"kind": "emf", "namespace": "Mine", "dimensions": [[], ["model", "feature"]]},
        ],
        Wiring(stream=stream),
    )

    assert [sink.name for sink in opened] == ["jsonl", "print", "emf"]
    opened[0].close(1)


@pytest.mark.parametrize(
    ("text", "specs"),
    [
        ("", []),
        ("print", [{"kind": "print"}]),
        ("jsonl:usage,print", [{"kind": "jsonl", "folder": "usage"}, {"kind": "print"}]),
        (
            " jsonl:/var/u , emf:My/Costs,",
            [
                {"kind": "jsonl", "folder": "/var/u"},
                {"kind": "emf", "namespace": "My/Costs"},
            ],
        ),
        (
            "sqs:https://sqs.eu-central-1.amazonaws.com/1/usage",
            [{"kind": "sqs", "queue_url": "https://sqs.eu-central-1.amazonaws.com/1/usage"}],
        ),
        ("bigquery:a.b.c", [{"kind": "bigquery", "table": "a.b.c"}]),
        (
            "print:stderr,logging:app",
            [
                {"kind": "print", "stream": "stderr"},
                {"kind": "logging", "logger": "app"},
            ],
        ),
        (
            '[{"kind": "jsonl", "folder": "u", "max_mb": 5}]',
            [
                {"kind": "jsonl", "folder": "u", "max_mb": 5},
            ],
        ),
    ],
)
def test_the_environment_s_text_asks_for_sinks(text: str, specs: list[Any]) -> None:
    assert sink_specs(text) == specs


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("prometheus:9090", 'SPENDFUSE_SINKS: got "prometheus:9090"; write "prometheus" alone'),
        ("jsnol:usage", 'sinks[0].kind: got "jsnol"; did you mean "jsonl"?'),
        ("jsonl", "sinks[0].folder: is missing; add it"),
        ("jsonl:", 'sinks[0].folder: got ""; write a text, such as "usage"'),
        ("print:file", 'sinks[0].stream: got "file"; write "stdout" or "stderr"'),
        ('[{"kind": ', "SPENDFUSE_SINKS: not the JSON of a list"),
    ],
)
def test_a_mistake_in_the_environment_is_told(text: str, mistake: str) -> None:
    with pytest.raises(SettingsError) as raised:
        open_sinks(sink_specs(text))

    assert mistake in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "vendor", "command"),
    [
        ("prometheus", "prometheus_client", "pip install 'spendfuse[prometheus]'"),
        ("opentelemetry", "opentelemetry", "pip install 'spendfuse[otel]'"),
        ("bigquery", "google", "pip install 'spendfuse[bigquery]'"),
        ("sqs", "boto3", "pip install 'spendfuse[aws]'"),
    ],
)
def test_a_missing_library_is_told_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, kind: str, vendor: str, command: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **over: Any) -> Any:
        if name.partition(".")[0] == vendor:
            raise ModuleNotFoundError(f"No module named {vendor!r}", name=vendor)
        return real(name, *rest, **over)

    monkeypatch.delitem(sys.modules, SINKS[kind].opener.split(":")[0], raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    required: Mapping[str, str] = {"table": "a.b.c", "queue_url": "https://sqs.x/1/usage"}
    needed = {key: required[key] for key, each in SINKS[kind].options.items() if each.is_required}

    assert mistakes([{"kind": kind, **needed}]) == [f"the sink {kind!r} needs {vendor}: {command}"]


def open_with(wiring: Wiring) -> DirectSink:
    class Closing(DirectSink):
        def close(self, timeout_seconds: float) -> None:
            wiring.sqs.append(timeout_seconds)

    return Closing("closing", lambda _: None)


def test_when_one_sink_can_t_be_opened_those_before_it_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    monkeypatch.setattr(
        sinks, "SINKS", {**SINKS, "closing": Kind(f"{open_with.__module__}:open_with", {})}
    )
    closed: list[float] = []
    specs = [{"kind": "closing"}, {"kind": "jsonl", "folder": str(tmp_path / "file")}]

    with pytest.raises(SettingsError, match="can't be made"):
        open_sinks(specs, Wiring(sqs=closed))
    assert len(closed) == 1


def test_the_table_holds_no_value_that_json_can_t_say() -> None:
    for kind in SINKS.values():
        assert set(kind.options) >= ({kind.short} if kind.short else set())
        assert json.dumps(list(kind.options))
