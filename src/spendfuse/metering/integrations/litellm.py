"""Metering by litellm's callback: every provider that litellm speaks to, streams at their end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from spendfuse.metering.integrations.litellm_events import LitellmMeter
from spendfuse.metering.integrations.meter import Meter


class LitellmCallback(CustomLogger):  # type: ignore[misc]
    """Tracks each call that litellm has made.

    Answers from litellm's cache are recorded as cached, at no cost. What ``attributed()`` says
    around the call holds; litellm's ``user`` and ``metadata`` go on top.

    litellm says nothing of streams that the app drops and of calls that it cancels, so they are
    not recorded. A wrapped client handed to litellm would count its calls a second time.

    Args:
        tracker: Where the calls go.
        attributes: Added to ``litellm_events.ATTRIBUTES``; an empty text switches one off.

    Example:
        litellm.callbacks.append(LitellmCallback(tracker))
    """

    def __init__(self, tracker: Meter, *, attributes: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self._meter = LitellmMeter(tracker, attributes or {})

    def log_pre_api_call(self, model: str, messages: Any, kwargs: dict[str, Any]) -> None:  # noqa: ARG002
        self._meter.began(kwargs)

    def log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._meter.succeeded(kwargs, response_obj, start_time, end_time)

    def log_failure_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,  # noqa: ARG002
        start_time: Any,
        end_time: Any,
    ) -> None:
        self._meter.failed(kwargs, start_time, end_time)

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: Any, start_time: Any, end_time: Any
    ) -> None:
        self._meter.succeeded(kwargs, response_obj, start_time, end_time)

    async def async_log_failure_event(
        self,
        kwargs: dict[str, Any],
        response_obj: Any,  # noqa: ARG002
        start_time: Any,
        end_time: Any,
    ) -> None:
        self._meter.failed(kwargs, start_time, end_time)
