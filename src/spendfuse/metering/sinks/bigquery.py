"""Records as rows of a BigQuery table, streamed in batches from a thread of their own.

The table is yours to create, once::

    client.create_table(table_definition("project.dataset.llm_calls"))

``cost_usd`` is NUMERIC, which holds billionths of a dollar exactly, and NULL where there is no
price. A record's id is its row's insert id, so BigQuery drops most rows that come twice.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from google.api_core.exceptions import GoogleAPICallError
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError
from google.cloud import bigquery

from spendfuse.clock import utc_text
from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.metering.record import Record
from spendfuse.metering.sinks.background import Background, Pace, gently, shown
from spendfuse.metering.sinks.lines import json_text
from spendfuse.metering.sinks.sink import Sink
from spendfuse.metering.sinks.wiring import Wiring
from spendfuse.money import usd_text

_NO_RETRY = Retry(predicate=lambda _: False)
MAX_ROWS = 500
"""Of one request: what BigQuery recommends, and far below its 10 MB."""
MAX_REJECTED = 100
_ATTRIBUTES = (
    "user",
    "organisation",
    "department",
    "team",
    "project",
    "environment",
    "feature",
    "query_type",
)
_COUNTS = (
    "input_tokens",
    "output_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)
_TOO_LARGE: Final = 413
_MALFORMED: Final = 400
_UNAUTHORIZED: Final = 401
_FOR_A_PERSON: Final = {
    _UNAUTHORIZED: "the credentials are not valid; mend GOOGLE_APPLICATION_CREDENTIALS",
    403: "no right to insert rows; grant roles/bigquery.dataEditor on it",
    404: "is not there; create it with table_definition()",
}
_TRANSIENT = frozenset(
    {"backendError", "internalError", "quotaExceeded", "rateLimitExceeded", "stopped", "timeout"}
)
"""Reasons for which the same row may be taken later."""


class Row(NamedTuple):
    id: str
    json: dict[str, Any]


class Rejected(NamedTuple):
    """A row that BigQuery will not take, and why."""

    row: Row
    errors: Any


def open_sink(
    wiring: Wiring, *, table: str, timeout_seconds: int = 10, pace: Pace | None = None
) -> Sink:
    client = wiring.bigquery or _client(table)
    return BigQuerySink(client, table, timeout_seconds=timeout_seconds, pace=pace)


def _client(table: str) -> bigquery.Client:
    try:
        return bigquery.Client(project=table.rsplit(".", 2)[0])
    except DefaultCredentialsError as error:
        raise SettingsError(
            "sink bigquery: no Google credentials were found; set GOOGLE_APPLICATION_CREDENTIALS, "
            "or hand a client in by Wiring"
        ) from error


class BigQuerySink(Background[list[Row]]):
    """Inserts a row for each record.

    A row that BigQuery will never take is dropped and counted; the last of them are in
    ``rejected``, with BigQuery's reasons.
    """

    def __init__(
        self, client: bigquery.Client, table: str, *, timeout_seconds: float, pace: Pace | None
    ) -> None:
        self.rejected: deque[Rejected] = deque(maxlen=MAX_REJECTED)
        self._client = client
        self._table = table
        self._timeout_seconds = timeout_seconds
        super().__init__("bigquery", self._rows, self._insert, pace=pace or Pace(batch=MAX_ROWS))

    def begin_anew(self) -> None:
        super().begin_anew()
        # Else a forked child would talk over its parent's connections. It opens new ones.
        with suppress(Exception):
            self._client.close()  # type: ignore[no-untyped-call]

    def _rows(self, records: list[Record]) -> list[Row]:
        rows = []
        for record in gently(records):
            try:
                rows.append(Row(record.id, row_of(record)))
            except Exception as error:  # noqa: BLE001 (one record never costs the others their place)
                self.refuse(1, f"record {record.id} can't be encoded: {shown(error)}")
        return rows

    def _insert(self, rows: list[Row]) -> None:
        """Insert ``rows``, taking out of it what arrived and what was rejected."""
        again: list[Row] = []
        most = MAX_ROWS
        try:
            while rows:
                some = rows[:most]
                try:
                    errors = self._errors(some)
                except _RefusedError as error:
                    if len(some) > 1:
                        # One row may spoil a request: narrow it down.
                        most = len(some) // 2
                        continue
                    errors = {0: [{"reason": "invalid", "message": str(error)}]}
                again += self._judged(some, errors)
                del rows[: len(some)]
        finally:
            rows += again
        if rows:
            raise UnavailableError(f"{len(rows)} rows were not taken for now")

    def _errors(self, rows: list[Row]) -> dict[int, list[dict[str, Any]]]:
        """Send rows in one request; return the errors of those that were not taken."""
        try:
            errors = self._client.insert_rows_json(
                self._table,
                [row.json for row in rows],
                row_ids=[row.id for row in rows],
                # Else one bad row holds up all the others.
                skip_invalid_rows=True,
                # Ours is the retrying, which waits longer each time and can be hurried.
                retry=_NO_RETRY,
                timeout=self._timeout_seconds,
            )
        except GoogleAPICallError as error:
            raise self._meaning(error) from error
        except GoogleAuthError as error:
            if error.retryable or isinstance(error, TransportError):
                raise UnavailableError("Google's credentials can't be renewed now") from error
            raise self._for_a_person(_UNAUTHORIZED) from error
        return {each["index"]: each["errors"] for each in errors}

    def _meaning(self, error: GoogleAPICallError) -> Exception:
        reasons = {each.get("reason") for each in error.errors if isinstance(each, dict)}
        if error.code in (_MALFORMED, _TOO_LARGE):
            return _RefusedError(f"HTTP {error.code}: {', '.join(map(str, reasons))}")
        if error.code in _FOR_A_PERSON and not reasons & _TRANSIENT:
            return self._for_a_person(error.code)
        return UnavailableError(f"BigQuery answered {error.code}")

    def _for_a_person(self, status: int) -> SettingsError:
        return SettingsError(f"table {self._table}: {_FOR_A_PERSON[status]}")

    def _judged(self, rows: list[Row], errors: dict[int, list[dict[str, Any]]]) -> list[Row]:
        """Set rejected rows apart; return those that may be taken later."""
        again = []
        for index, row_errors in errors.items():
            reasons = {str(each.get("reason")) for each in row_errors}
            if reasons <= _TRANSIENT:
                again.append(rows[index])
                continue
            self.rejected.append(Rejected(rows[index], row_errors))
            where = {str(each.get("location")) for each in row_errors if each.get("location")}
            self.refuse(1, f"record {rows[index].id}: {_joined(reasons)} {_joined(where)}".rstrip())
        return again


class _RefusedError(Exception):
    """A request that BigQuery will never take as it is."""


def row_of(record: Record) -> dict[str, Any]:
    """Return the record as a row of ``table_schema()``."""
    attributes = dict(record.attributes)
    nano = record.cost_nano_usd
    return {
        "id": record.id,
        "called_at": utc_text(record.at),
        "provider": _text(record.provider),
        "model": _text(record.model),
        "cost_usd": None if nano is None else usd_text(nano),
        **{name: _text(attributes.pop(name, None)) for name in _ATTRIBUTES},
        **{name: getattr(record.usage, name) for name in _COUNTS},
        "usage": json_text(record.usage.counts()),
        "attributes": _text(json_text(attributes)),
        "fields": _text(json_text(dict(record.fields))),
        "price_version": record.price_version,
        "latency_ms": record.latency_ms,
        "status": record.status,
        "error_type": _text(record.error_type),
        "cached": record.cached,
        "problem": _text(record.problem),
    }


def table_schema() -> list[bigquery.SchemaField]:
    """Return the columns of the table that the sink writes to."""
    kinds = {
        "called_at": "TIMESTAMP",
        "cost_usd": "NUMERIC",
        **dict.fromkeys((*_COUNTS, "latency_ms"), "INTEGER"),
        **dict.fromkeys(("usage", "attributes", "fields"), "JSON"),
        "cached": "BOOLEAN",
    }
    required = {"id", "called_at", "status", "cached"}
    return [
        bigquery.SchemaField(
            name,
            kinds.get(name, "STRING"),
            mode="REQUIRED" if name in required else "NULLABLE",
            description=_DESCRIPTIONS.get(name, ""),
        )
        for name in row_of(_SAMPLE)
    ]


def table_definition(table: str) -> bigquery.Table:
    """Return the table for ``client.create_table``: partitioned by day, clustered for reports."""
    definition = bigquery.Table(table, schema=table_schema())
    definition.time_partitioning = bigquery.TimePartitioning(field="called_at")
    definition.clustering_fields = ["environment", "feature", "model"]
    return definition


_SAMPLE = Record("", datetime(2026, 1, 1, tzinfo=UTC), "", "")
_DESCRIPTIONS = {
    "id": "The record's id, and the row's insert id.",
    "cost_usd": "US dollars, exact; NULL where there is no price, which is not $0.",
    "input_tokens": "All input: cached, written to the cache, audio and images too.",
    "output_tokens": "All output, reasoning included.",
    "usage": "All counts that are not zero.",
    "attributes": "Attributes that have no column of their own.",
    "fields": "Facts about the call that the app added.",
    "problem": "Why there is no price.",
}


def _text(value: str | None) -> str | None:
    """Return ``value`` as valid UTF-8: half a surrogate pair would spoil the row."""
    return value.encode("utf-8", "replace").decode() if value else value


def _joined(names: set[str]) -> str:
    return ", ".join(sorted(names))
