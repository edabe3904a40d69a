from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import bigquery
from unit.metering.sinks.bigquery_stand_in import BigQuery, an_error
from unit.metering.sinks.rigs import a_record

from spendfuse.errors import SettingsError
from spendfuse.metering.sinks import Wiring, open_sinks
from spendfuse.metering.sinks.bigquery import (
    BigQuerySink,
    row_of,
    table_definition,
    table_schema,
)
from spendfuse.metering.usage import Usage

TABLE = "acme.billing.llm_calls"


@pytest.fixture
def server() -> Iterator[BigQuery]:
    server = BigQuery()
    yield server
    server.close()


@pytest.fixture
def sink(server: BigQuery) -> Iterator[BigQuerySink]:
    client = bigquery.Client(
        project="acme",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.url},
    )
    (sink,) = open_sinks([{"kind": "bigquery", "table": TABLE}], Wiring(bigquery=client))
    assert isinstance(sink, BigQuerySink)
    yield sink
    sink.close(5)
    client.close()


def emit(sink: BigQuerySink, *ids: str) -> bool:
    for each in ids:
        sink.emit(a_record(each))
    return sink.flush(5)


def test_a_record_is_a_row_and_its_id_the_row_s(sink: BigQuerySink, server: BigQuery) -> None:
    assert emit(sink, "r-1")
    assert server.rows == {"r-1": row_of(a_record("r-1"))}
    assert server.paths == [
        "/bigquery/v2/projects/acme/datasets/billing/tables/llm_calls/insertAll?prettyPrint=false"
    ]
    assert server.requests[0]["skipInvalidRows"] is True


def test_a_request_has_five_hundred_rows_at_most(sink: BigQuerySink, server: BigQuery) -> None:
    assert emit(sink, *(f"r-{number}" for number in range(1200)))
    assert len(server.rows) == 1200
    assert max(len(request["rows"]) for request in server.requests) <= 500


def test_a_row_that_is_refused_stands_apart_with_its_reason(
    sink: BigQuerySink, server: BigQuery, caplog: pytest.LogCaptureFixture
) -> None:
    errors = [{"reason": "invalid", "location": "cost_usd", "message": "a secret value"}]
    server.judge = lambda rows: (
        200,
        {
            "insertErrors": [
                {"index": index, "errors": errors}
                for index, row in enumerate(rows)
                if row["id"] == "r-2"
            ]
        },
    )
    with caplog.at_level(logging.WARNING):
        assert emit(sink, "r-1", "r-2", "r-3")

    health = sink.health()
    assert set(server.rows) == {"r-1", "r-3"}
    assert (health.delivered, health.dropped, health.waiting) == (2, 1, 0)
    assert health.last_error == "record r-2: invalid cost_usd"
    assert [(each.row.id, each.errors) for each in sink.rejected] == [("r-2", errors)]
    assert "secret" not in caplog.text


def test_rows_that_are_refused_for_now_are_sent_again_alone(
    sink: BigQuerySink, server: BigQuery
) -> None:
    def once(rows: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
        server.judge = lambda _: (200, {})
        found = [index for index, row in enumerate(rows) if row["id"] == "r-2"]
        errors = [{"reason": "stopped", "location": "", "message": ""}]
        return 200, {"insertErrors": [{"index": index, "errors": errors} for index in found]}

    server.judge = once

    assert emit(sink, "r-1", "r-2", "r-3")
    assert set(server.rows) == {"r-1", "r-2", "r-3"}
    assert [len(request["rows"]) for request in server.requests] == [3, 1]
    assert sink.health().delivered == 3


@pytest.mark.parametrize("status", [400, 413])
def test_one_row_that_spoils_its_request_is_found(
    sink: BigQuerySink, server: BigQuery, status: int
) -> None:
    server.judge = lambda rows: (
        an_error(status, "invalid") if any(row["id"] == "r-5" for row in rows) else (200, {})
    )

    assert emit(sink, *(f"r-{number}" for number in range(20)))
    assert set(server.rows) == {f"r-{number}" for number in range(20)} - {"r-5"}
    assert [each.row.id for each in sink.rejected] == ["r-5"]
    assert (sink.health().delivered, sink.health().dropped) == (19, 1)


@pytest.mark.parametrize(
    ("status", "reason", "told"),
    [
        (401, "authError", "SettingsError: table acme.billing.llm_calls: the credentials"),
        (403, "accessDenied", "SettingsError: table acme.billing.llm_calls: no right"),
        (404, "notFound", "SettingsError: table acme.billing.llm_calls: is not there; create it"),
        (403, "quotaExceeded", "UnavailableError: BigQuery answered 403"),
        (429, "rateLimitExceeded", "UnavailableError: BigQuery answered 429"),
        (503, "backendError", "UnavailableError: BigQuery answered 503"),
    ],
)
def test_rows_wait_while_bigquery_does_not_take_them(
    sink: BigQuerySink, server: BigQuery, status: int, reason: str, told: str
) -> None:
    server.judge = lambda _: an_error(status, reason)
    for number in range(3):
        sink.emit(a_record(f"r-{number}"))
    is_flushed = sink.flush(0.3)
    health = sink.health()
    server.judge = lambda _: (200, {})

    assert not is_flushed
    assert (health.waiting, health.dropped) == (3, 0)
    assert health.last_error is not None
    assert health.last_error.startswith(told)
    assert sink.flush(5)
    assert len(server.rows) == 3


def test_a_server_that_is_gone_breaks_no_call() -> None:
    server = BigQuery()
    client = bigquery.Client(
        project="acme",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": server.url},
    )
    server.close()
    (sink,) = open_sinks([{"kind": "bigquery", "table": TABLE}], Wiring(bigquery=client))
    sink.emit(a_record())

    assert not sink.flush(0.3)
    assert sink.health().waiting == 1
    sink.close(0)
    client.close()


def test_a_process_without_credentials_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(*_: object, **__: object) -> None:
        raise DefaultCredentialsError("none")

    monkeypatch.setattr(google.auth, "default", none)

    with pytest.raises(SettingsError, match="set GOOGLE_APPLICATION_CREDENTIALS"):
        open_sinks([{"kind": "bigquery", "table": TABLE}])


def test_the_schema_has_a_column_for_all_that_a_row_holds() -> None:
    assert [field.name for field in table_schema()] == list(row_of(a_record()))


def test_a_row_s_values_fit_their_columns() -> None:
    usage = Usage(input_tokens=1200, cached_input_tokens=800, output_tokens=300)
    row = row_of(
        a_record(
            usage=usage,
            cost_nano_usd=1_000_000_001,
            attributes={"user": "u1", "key_id": "k1"},
            fields={"rag_chunks_used": 4},
        )
    )
    kinds = {field.name: (field.field_type, field.mode) for field in table_schema()}

    python = {"STRING": str, "INTEGER": int, "BOOLEAN": bool, "JSON": str, "NUMERIC": str}
    missing = {name for name, value in row.items() if value is None}
    wrong = {
        name
        for name, value in row.items()
        if name not in missing and not isinstance(value, python.get(kinds[name][0], str))
    }
    assert wrong == set()
    assert missing <= {name for name, (_, mode) in kinds.items() if mode == "NULLABLE"}
    assert Decimal(row["cost_usd"]) * 10**9 == 1_000_000_001
    assert (row["user"], row["cached_input_tokens"]) == ("u1", 800)
    assert json.loads(row["attributes"]) == {"key_id": "k1"}
    assert json.loads(row["fields"]) == {"rag_chunks_used": 4}


def test_the_table_is_cut_by_day_and_sorted_for_reports() -> None:
    table = table_definition(TABLE)

    assert table.time_partitioning.field == "called_at"
    assert table.clustering_fields == ["environment", "feature", "model"]
    assert [field.name for field in table.schema][:2] == ["id", "called_at"]
