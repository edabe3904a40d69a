"""Make AWS do what it does by itself: the AWS player, from another process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from spendfuse.clock import utc_text

Ask = Callable[[str, str, object], dict[str, Any]]
"""Takes the method, the path below ``/_spendfuse/`` and the body."""


@dataclass(frozen=True, slots=True)
class PlayerClient:
    """Speaks to the player of a sandbox.

    Each answer has ``fired``, with ``to``, ``subject`` and ``text`` of every message that went
    out, and ``dropped``, with ``to``, ``subject`` and ``why``.
    """

    ask: Ask

    def spend(
        self,
        aws_budget: str,
        *,
        actual_usd: Decimal | str,
        forecast_usd: Decimal | str | None = None,
        at: datetime | None = None,
    ) -> dict[str, Any]:
        """Let AWS Budgets find out what was spent; each notification fires once a period.

        Raises:
            InputError: there is no such budget.
        """
        body = {
            "actual_usd": str(actual_usd),
            "forecast_usd": None if forecast_usd is None else str(forecast_usd),
            "at": None if at is None else utc_text(at),
        }
        return self.ask("POST", f"budgets/{quote(aws_budget, safe='')}/spend", body)

    def publish_as(
        self, service: str, topic_arn: str, *, source_arn: str, subject: str, message: str
    ) -> dict[str, Any]:
        """Publish a recorded text to a topic as ``budgets.amazonaws.com``, or another service."""
        body = {
            "service": service,
            "topic_arn": topic_arn,
            "source_arn": source_arn,
            "subject": subject,
            "message": message,
        }
        return self.ask("POST", "publish", body)
