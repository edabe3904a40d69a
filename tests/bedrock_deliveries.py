"""Bedrock's log as CloudWatch Logs delivers it: the entries of tests/bedrock_log, in batches."""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "bedrock_log"
ENTRIES = tuple(sorted(file.stem for file in FOLDER.glob("*.json")))
PERMISSIONS = (FOLDER / "permissions.txt").read_text().strip()
AT = 1_795_255_200_000
"""2026-11-21T10:00:00Z, in milliseconds."""


def an_entry(name: str, **over: Any) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return {key: value for key, value in (entry | over).items() if value is not None}


def an_event(message: Any, id: str = "1") -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    return {"id": id, "timestamp": AT, "message": text}


def events_of(*messages: Any) -> list[dict[str, Any]]:
    return [an_event(message, f"3847{number}") for number, message in enumerate(messages)]


def a_delivery(*messages: Any, **over: Any) -> dict[str, Any]:
    """Return what the function is called with."""
    payload = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/spendfuse/bedrock",
        "logStream": "aws/bedrock/modelinvocations",
        "subscriptionFilters": ["spendfuse"],
        "logEvents": events_of(*messages),
    } | over
    return {"awslogs": {"data": packed(payload)}}


def packed(payload: Any) -> str:
    return base64.b64encode(gzip.compress(json.dumps(payload).encode())).decode()
