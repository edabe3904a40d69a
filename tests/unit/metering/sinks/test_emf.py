from __future__ import annotations

import fcntl
import io
import json
import os
import threading
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.sinks.rigs import NOW, a_record

from spendfuse.metering.record import Record
from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.emf import DIMENSION_SETS, EmfLines, emf_sink
from spendfuse.metering.sinks.labels import BoundedLabels
from spendfuse.metering.sinks.lines import LineStream
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.usage import Usage

UNITS = ["Seconds", "Microseconds", "Milliseconds", "Bytes", "Percent", "Count", "None"]
# The rules of AWS's published schema for the format, and what CloudWatch asks of a name.
EMF = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer"},
                "CloudWatchMetrics": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {"type": "string", "minLength": 1, "maxLength": 1024},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {
                                    "type": "array",
                                    "maxItems": 30,
                                    "items": {"type": "string", "minLength": 1, "maxLength": 250},
                                },
                            },
                            "Metrics": {
                                "type": "array",
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": {"type": "string", "minLength": 1},
                                        "Unit": {"enum": UNITS},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}


def check(line: dict[str, Any]) -> None:
    jsonschema.validate(line, EMF)
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for name in {name for names in directive["Dimensions"] for name in names}:
            assert isinstance(line[name], str)
            assert 1 <= len(line[name]) <= 1024
            assert line[name].isascii()
            assert line[name].isprintable()
            assert line[name].strip()
        for metric in directive["Metrics"]:
            assert type(line[metric["Name"]]) in (int, float, Decimal)


def lines(**over: Any) -> EmfLines:
    given = {
        "namespace": "RAG-App/Costs",
        "dimensions": DIMENSION_SETS,
        "properties": (),
        "labels": BoundedLabels(),
    }
    return EmfLines(**{**given, **over})


def parsed(record: Record, **over: Any) -> dict[str, Any]:
    line = lines(**over).line(record)

    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    found: dict[str, Any] = json.loads(line)
    check(found)
    return found


def metric_names(line: dict[str, Any]) -> set[str]:
    return {metric["Name"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]}


texts = st.text(max_size=40) | st.sampled_from(["\x00", "  ", "\ud800", '"\\', "ü" * 300])
counts = st.integers(min_value=0, max_value=10**12)


def a_usage(input_tokens: int, output_tokens: int) -> Usage:
    return Usage(input_tokens=input_tokens, output_tokens=output_tokens)


@given(
    st.builds(
        Record,
        id=texts,
        at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
        provider=texts,
        model=texts,
        usage=st.builds(a_usage, counts, counts),
        cost_nano_usd=st.none() | st.integers(min_value=0, max_value=10**15),
        attributes=st.dictionaries(
            st.sampled_from(["user", "feature", "environment", "team"]), texts
        ),
        fields=st.dictionaries(texts, st.floats() | st.integers() | texts | st.booleans()),
        latency_ms=st.none() | counts,
        status=st.sampled_from(["ok", "error", "cancelled"]),
        error_type=st.none() | texts,
        cached=st.booleans(),
    )
)
def test_every_record_makes_a_valid_line(record: Record) -> None:
    line = parsed(record, properties=("team", "user"))

    assert line["TotalTokens"] == sum(record.usage[:2])
    assert ("EstimatedCost" in line) == (record.cost_nano_usd is not None)


@given(st.integers(min_value=0, max_value=10**15))
def test_a_cost_stands_there_to_the_nano_dollar(nano: int) -> None:
    line = json.loads(lines().line(a_record(cost_nano_usd=nano)), parse_float=Decimal)

    assert line["EstimatedCost"] * 10**9 == nano


def test_a_call_has_the_metrics_that_dashboards_read() -> None:
    line = parsed(a_record())

    assert line["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "RAG-App/Costs"
    assert line["_aws"]["Timestamp"] == round(NOW.timestamp() * 1000)
    assert {name: line[name] for name in metric_names(line)} == {
        "EstimatedCost": 0.006,
        "TotalTokens": 1500,
        "InputTokens": 1200,
        "OutputTokens": 300,
        "LatencyMs": 420,
        "Errors": 0,
        "CacheHits": 0,
    }


def test_an_alarm_on_all_spending_finds_a_metric_without_dimensions() -> None:
    assert [] in parsed(a_record())["_aws"]["CloudWatchMetrics"][0]["Dimensions"]


def test_a_call_without_a_price_is_counted_and_has_no_cost() -> None:
    line = parsed(a_record(cost_nano_usd=None))

    assert line["UnpricedRequests"] == 1
    assert "EstimatedCost" not in line
    assert "EstimatedCost" not in metric_names(line)


def test_a_call_without_a_latency_has_no_such_metric() -> None:
    assert "LatencyMs" not in metric_names(parsed(a_record(latency_ms=None)))


def test_errors_and_cache_hits_are_counted() -> None:
    line = parsed(a_record(status="error", error_type="RateLimitError", cached=True))

    assert (line["Errors"], line["CacheHits"], line["error_type"]) == (1, 1, "RateLimitError")


def test_a_cancelled_call_is_no_error() -> None:
    assert parsed(a_record(status="cancelled"))["Errors"] == 0


def test_a_user_stands_on_the_line_only_when_asked_for_and_never_as_a_dimension() -> None:
    asked = parsed(a_record(), properties=("user",))

    assert "u1" not in json.dumps(parsed(a_record()))
    assert asked["user"] == "u1"
    assert "user" not in json.dumps(asked["_aws"])


def test_names_in_other_scripts_stay_apart() -> None:
    labels = BoundedLabels()
    features = {
        parsed(a_record(attributes={"feature": feature}), labels=labels)["feature"]
        for feature in ("süche", "söche", "検索", "索検", "", "  ")
    }

    assert len(features) == 5


def open_emf(stream: Any) -> Sink:
    (sink,) = open_sinks([{"kind": "emf"}], Wiring(stream=stream))
    return sink


def test_lines_of_many_threads_come_out_whole() -> None:
    reader, writer = os.pipe()
    found: list[bytes] = []
    with open(writer, "w") as stream, open(reader, "rb") as pipe:  # noqa: PTH123
        sink = open_emf(stream)
        collecting = threading.Thread(target=lambda: found.extend(pipe))
        collecting.start()
        threads = [
            threading.Thread(
                target=lambda thread=thread: [
                    sink.emit(a_record(f"{thread}-{number}")) for number in range(200)
                ]
            )
            for thread in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stream.close()
        collecting.join()

    assert len({json.loads(line)["id"] for line in found}) == 1600


def test_a_line_is_out_when_emit_returns() -> None:
    reader, writer = os.pipe()
    with open(writer, "w") as stream:  # noqa: PTH123
        open_emf(stream).emit(a_record("r-1"))
        arrived = os.read(reader, 65_536)
        os.close(reader)

    assert json.loads(arrived)["id"] == "r-1"


def test_a_full_pipe_holds_nobody_up() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(writer, "w") as stream, open(reader, "rb", buffering=0) as pipe:  # noqa: PTH123
        sink = open_emf(stream)
        for number in range(500):
            sink.emit(a_record(f"r-{number}"))
        health = sink.health()
        assert 0 < health.waiting < 500
        assert health.waiting + health.delivered == 500

        os.set_blocking(reader, False)
        text = b""
        while not sink.flush(1):
            text += pipe.read(1 << 20) or b""
        while chunk := pipe.read(1 << 20):
            text += chunk

    assert [json.loads(line)["id"] for line in text.splitlines()] == [
        f"r-{number}" for number in range(500)
    ]


def test_what_a_full_pipe_left_of_a_line_goes_out_before_the_next() -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    with open(writer, "w") as stream:  # noqa: PTH123
        lines = LineStream(stream)
        # Longer than what a pipe takes in one piece.
        lines.write(b"a" * 10_000 + b"\n")
        found = os.read(reader, 4096)
        with pytest.raises(BlockingIOError):
            lines.write(b"b\n")
        while len(found) < 10_001:
            found += os.read(reader, 65_536)
            try:
                lines.write(b"c\n")
            except BlockingIOError:
                continue
        os.close(reader)

    assert found.startswith(b"a" * 10_000 + b"\n")
    assert b"b" not in found


def test_a_closed_stream_is_not_written_to_by_its_number() -> None:
    reader, writer = os.pipe()
    stream = open(writer, "w")  # noqa: PTH123, SIM115
    sink = open_emf(stream)
    stream.close()
    again = os.dup(reader)
    sink.emit(a_record())
    os.close(again)
    os.close(reader)

    assert sink.health().waiting == 1
    assert sink.health().last_error == "ValueError"


def test_a_stream_without_a_file_is_written_to_as_text() -> None:
    stream = io.StringIO()
    emf_sink(stream, lines()).emit(a_record("r-1"))

    assert json.loads(stream.getvalue())["id"] == "r-1"
