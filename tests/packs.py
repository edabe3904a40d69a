"""Packs as an app sends them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def a_record(id: str = "r1", **over: Any) -> dict[str, Any]:
    return {
        "id": id,
        "at": "2026-11-21T11:59:58.000Z",
        "provider": "openai",
        "model": "gpt-4o",
        "attributes": {"user": "u1", "team": "search", "key_id": "k1"},
        "tokens": {"input_tokens": 10, "output_tokens": 5},
        "cost_nano_usd": 75_000,
        "price_version": "2026-11-01",
        "latency_ms": 420,
        "status": "ok",
    } | over


def a_pack(id: str = "p1", *records: dict[str, Any], **over: Any) -> str:
    return json.dumps(
        {
            "schema": 1,
            "id": id,
            "created_at": "2026-11-21T11:59:59.000Z",
            "sent_at": "2026-11-21T11:59:59.900Z",
            "records": list(records or (a_record(),)),
        }
        | over
    )
