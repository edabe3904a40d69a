"""How long we take to price and to track one call."""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from time import thread_time
from typing import Any

from benchmarks.probes.timing import microseconds
from spendfuse.metering import CostTracker, PriceBook, Usage
from spendfuse.metering.sinks import Wiring, open_sinks

QUEUE_URL = "https://sqs.eu-central-1.amazonaws.com/123456789012/usage"


class TakesAll:
    """A queue that takes every pack at once, so that packing is all that is measured."""

    def send_message_batch(self, **request: Any) -> dict[str, Any]:
        return {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}


def tracking(book: PriceBook, folder: Path) -> dict[str, float]:
    """Return what the caller's thread spends, with both sinks at work behind it."""
    specs = [
        {"kind": "jsonl", "folder": str(folder / "usage")},
        {"kind": "sqs", "queue_url": QUEUE_URL},
    ]
    tracker = CostTracker(
        sinks=open_sinks(specs, Wiring(sqs=TakesAll())), prices=book, unknown_models="unpriced"
    )
    usage = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)
    counts = {"prompt_tokens": 2000, "completion_tokens": 300}

    def by_usage() -> None:
        tracker.track("gpt-4o", usage, provider="openai", user="u1", feature="ask")

    def by_dict() -> None:
        tracker.track_usage("u1", "/chat", "gpt-4o", counts)

    figures = {}
    for name, call in (("track", by_usage), ("track_usage", by_dict)):
        figures[name] = microseconds(call, thread_time, calls=2000, repeats=25)
        tracker.flush(60)
    tracker.close(60)
    lost = sum(sink.dropped for sink in tracker.health().sinks.values())
    return figures | {"dropped": lost}


def main() -> None:
    book = PriceBook.standard()
    at = datetime.now(UTC)
    plain = Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300)
    cached = Usage(
        input_tokens=9000, cached_input_tokens=5000, cache_write_tokens=3000, output_tokens=300
    )
    figures = {
        "price": microseconds(lambda: book.price("openai", "gpt-4o", plain, at=at)),
        "price_tiered": microseconds(
            lambda: book.price("anthropic", "claude-sonnet-4-5", cached, at=at)
        ),
    }
    with tempfile.TemporaryDirectory() as folder:
        figures |= tracking(book, Path(folder))
    json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
