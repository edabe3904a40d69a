"""The app's function: answer, count the tokens, report the usage.

The model is played: what it would cost is real. The pack is written by hand here, to show
that it takes a few lines in any language.
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime
from functools import cache
from typing import Any

import boto3
from botocore.config import Config

MODEL = "gpt-4o"
# OpenAI's list prices for gpt-4o, $2.50 and $10.00 per million tokens, as nano-dollars a token.
# https://platform.openai.com/docs/pricing
NANO_USD_PER_INPUT_TOKEN = 2_500
NANO_USD_PER_OUTPUT_TOKEN = 10_000
CHARACTERS_PER_TOKEN = 4
ANSWER_TOKENS = 500


@cache
def queue() -> Any:
    return boto3.client("sqs", config=Config(connect_timeout=2, read_timeout=5))


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:  # noqa: ARG001
    """Answer ``{"user", "question", "document"}`` and say what it cost."""
    asked = json.loads(event["body"])
    tokens = {
        "input": -(-len(asked["question"] + asked.get("document", "")) // CHARACTERS_PER_TOKEN),
        "output": ANSWER_TOKENS,
    }
    cost = tokens["input"] * NANO_USD_PER_INPUT_TOKEN + tokens["output"] * NANO_USD_PER_OUTPUT_TOKEN
    report_usage(asked["user"], event["requestContext"]["identity"]["apiKeyId"], tokens, cost)
    return {"statusCode": 200, "body": json.dumps({"answer": "42", "cost_nano_usd": cost})}


def report_usage(user: str, key_id: str, tokens: dict[str, int], cost_nano_usd: int) -> None:
    """Send a pack of one record to spendfuse's usage queue."""
    now = datetime.now(UTC).isoformat()
    record = {
        "id": str(uuid.uuid4()),
        "at": now,
        "provider": "openai",
        "model": MODEL,
        "attributes": {"user": user, "feature": "ask", "key_id": key_id},
        "tokens": tokens,
        "cost_nano_usd": cost_nano_usd,
        "status": "ok",
    }
    pack = {
        "schema": 1,
        "id": str(uuid.uuid4()),
        "created_at": now,
        "sent_at": now,
        "records": [record],
    }
    queue().send_message(QueueUrl=os.environ["USAGE_QUEUE_URL"], MessageBody=json.dumps(pack))
