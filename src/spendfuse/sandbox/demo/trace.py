"""Replay a recorded trace: real request sizes through the deployed ledger.

The file is a CSV with the columns TIMESTAMP, ContextTokens, GeneratedTokens, such as Azure's
public LLM inference traces. Its times are moved so that it ends now: usage of years ago would
rightly be refused.
"""

from __future__ import annotations

import csv
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from spendfuse.clock import utc_text
from spendfuse.errors import InputError
from spendfuse.money import usd
from spendfuse.period import Period
from spendfuse.sandbox.demo.ledger import counted, wait_until_counted
from spendfuse.sandbox.demo.report import DemoError, Report
from spendfuse.sandbox.demo.stage import SETTING_UP, Deployed

STEPS = (*SETTING_UP, "read", "sent", "counted")
COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
RECORDS_A_PACK = 200
MAX_TOKENS = 10_000_000
"""Of one request and one kind: above what any model reads or writes at once."""
_MICROSECONDS = len("2023-11-16 18:15:46.680590")
_SHOWN = 40

# OpenAI's list prices for gpt-4o, $2.50 and $10.00 per million tokens, as nano-dollars a token.
# https://platform.openai.com/docs/pricing
MODEL = "gpt-4o"
NANO_USD_PER_INPUT_TOKEN = 2_500
NANO_USD_PER_OUTPUT_TOKEN = 10_000

_PACKS_A_SEND = 2  # 200 records are some 60 KB; SQS takes 256 KB a call
_COUNTED_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class TracedRequest:
    at: datetime
    input_tokens: int
    output_tokens: int

    @property
    def cost_nano_usd(self) -> int:
        return (
            self.input_tokens * NANO_USD_PER_INPUT_TOKEN
            + self.output_tokens * NANO_USD_PER_OUTPUT_TOKEN
        )


def read_trace(path: Path) -> list[TracedRequest]:
    """Return the requests of a trace file.

    Raises:
        InputError: the file can't be read; names the line.
    """
    try:
        # Spreadsheets begin a file with a byte order mark.
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            if reader.fieldnames is None:
                raise InputError(f"{path.name} is empty; it needs the columns {', '.join(COLUMNS)}")
            if not set(COLUMNS) <= set(reader.fieldnames):
                raise InputError(
                    f"{path.name} has the columns {reader.fieldnames}; expected {list(COLUMNS)}"
                )
            requests = [_request(path, reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"the trace {path} can't be read: {error}") from error
    if not requests:
        raise InputError(f"{path.name} has no requests in it")
    return requests


def _request(path: Path, line: int, row: Mapping[str, str | None]) -> TracedRequest:
    try:
        timestamp, *tokens = (_cell(row, column) for column in COLUMNS)
        return TracedRequest(_time(timestamp), *map(_tokens, COLUMNS[1:], tokens))
    except InputError as error:
        raise InputError(f"{path.name}, line {line}: {error}") from error


def _cell(row: Mapping[str, str | None], column: str) -> str:
    text = (row[column] or "").strip()
    if not text:
        raise InputError(f"{column} is missing")
    return text


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text[:_MICROSECONDS]).replace(tzinfo=UTC)
    except ValueError as error:
        raise InputError(
            f"TIMESTAMP is {text[:_SHOWN]!r}; write a time, such as 2023-11-16 18:15:46.680590"
        ) from error


def _tokens(column: str, text: str) -> int:
    try:
        tokens = int(text)
    except ValueError:
        tokens = -1
    if not 0 <= tokens <= MAX_TOKENS:
        raise InputError(
            f"{column} is {text[:_SHOWN]!r}; write a whole number from 0 to {MAX_TOKENS:,}"
        )
    return tokens


def packs(requests: Sequence[TracedRequest], *, end: datetime) -> Iterator[dict[str, Any]]:
    """Yield the trace as packs, its times moved so that the last request was at ``end``."""
    shift = end - max(request.at for request in requests)
    for start in range(0, len(requests), RECORDS_A_PACK):
        part = requests[start : start + RECORDS_A_PACK]
        yield {
            "schema": 1,
            "id": str(uuid.uuid4()),
            "created_at": utc_text(end),
            "records": [_record(request, shift) for request in part],
        }


def _record(request: TracedRequest, shift: timedelta) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "at": utc_text(request.at + shift),
        "provider": "openai",
        "model": MODEL,
        "attributes": {"feature": "trace"},
        "tokens": {
            "input_tokens": request.input_tokens,
            "output_tokens": request.output_tokens,
        },
        "cost_nano_usd": request.cost_nano_usd,
        "status": "ok",
    }


def replay(deployed: Deployed, path: Path, report: Report, *, budget: str) -> None:
    """Send the trace through the usage queue and compare the ledger with its cost.

    Raises:
        DemoError: they differ, by a single nano-dollar even.
    """
    requests = read_trace(path)
    cost = sum(request.cost_nano_usd for request in requests)
    report.done("read", f"{len(requests):,} requests in {path.name} cost {usd(cost)} USD")
    end = datetime.now(UTC)
    month = Period.containing("month", end)
    periods = (month.key, month.previous.key)
    before = counted(deployed, budget, *periods)
    sent = _send(deployed, requests, end)
    report.done("sent", f"sent to the usage queue in {sent} packs")
    after = wait_until_counted(
        deployed,
        budget,
        *periods,
        requests=before.requests + len(requests),
        timeout_seconds=_COUNTED_SECONDS,
    )
    difference = after.nano_usd - before.nano_usd - cost
    if difference or after.requests != before.requests + len(requests):
        raise DemoError(f"the ledger is off by {difference} nano-dollars: {before} then {after}")
    report.done("counted", f"the ledger has {usd(after.nano_usd - before.nano_usd)} USD: the same")


def _send(deployed: Deployed, requests: Sequence[TracedRequest], end: datetime) -> int:
    queue, url = deployed.sandbox.client("sqs"), deployed.outputs["UsageQueueUrl"]
    ready = list(packs(requests, end=end))
    for start in range(0, len(ready), _PACKS_A_SEND):
        sent_at = utc_text(datetime.now(UTC))
        entries = [
            {"Id": str(number), "MessageBody": json.dumps({**pack, "sent_at": sent_at})}
            for number, pack in enumerate(ready[start : start + _PACKS_A_SEND])
        ]
        answer = queue.send_message_batch(QueueUrl=url, Entries=entries)
        if answer.get("Failed"):
            raise DemoError(f"the usage queue refused packs: {answer['Failed']}")
    return len(ready)
