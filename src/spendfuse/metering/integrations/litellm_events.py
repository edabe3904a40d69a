"""What litellm tells of a call when it has ended, and the record that comes of it.

litellm counts as OpenAI does, whoever answered. Each attempt of a router is a call of its own:
one that failed is an error without cost, so a retry costs nothing twice. Of a stream that the app
drops, and of a call that is cancelled, litellm tells nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from spendfuse.metering.attribution import NOBODY, Attribution, current_attribution, extended
from spendfuse.metering.integrations.meter import Meter, billed_model, checked_meter
from spendfuse.metering.integrations.recent import Recent
from spendfuse.metering.names import provider_id
from spendfuse.metering.reporting import Reported
from spendfuse.metering.responses import Response, read_response
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.usage import NOTHING_USED, Usage, UsageError

ATTRIBUTES: Mapping[str, str] = {
    "user_api_key_user_id": "user",
    "user_api_key_end_user_id": "user",
    "user_api_key_team_id": "team",
    "user_api_key_team_alias": "team",
    "user_api_key_org_id": "organisation",
    "user_api_key_hash": "key_id",
    **{
        name: name
        for name in (
            "user",
            "organisation",
            "department",
            "team",
            "project",
            "environment",
            "feature",
            "query_type",
            "key_id",
        )
    },
}
"""Which names in a call's ``metadata`` become which attributes; later ones win. Those that begin
with ``user_api_key`` are set by litellm's proxy."""

_Event = Mapping[str, Any]


class LitellmMeter:
    """Tracks calls by what litellm hands to its callbacks."""

    def __init__(self, tracker: Meter, attributes: Mapping[str, str]) -> None:
        self._tracker = checked_meter(tracker)
        self._names = {k: v for k, v in {**ATTRIBUTES, **attributes}.items() if v}
        self._begun: Recent[str, Attribution] = Recent()
        self._ended: Recent[tuple[str, str], bool] = Recent()

    def began(self, event: _Event) -> None:
        """Remember the caller's attribution: a stream ends on a thread that has none."""
        attribution = current_attribution()
        if attribution is not NOBODY:
            self._begun.put(_call_id(event), attribution)

    def succeeded(self, event: _Event, response: object, start: object, end: object) -> None:
        try:
            if self._is_first("success", event):
                self._track_answer(event, _whole_response(event, response), _latency(start, end))
        except Exception as error:  # noqa: BLE001 (litellm must go on)
            self._tracker.refuse(f"a call of litellm's that can't be read: {type(error).__name__}")

    def failed(self, event: _Event, start: object, end: object) -> None:
        try:
            if self._is_first("failure", event):
                self._track_error(event, _latency(start, end))
        except Exception as error:  # noqa: BLE001 (as above)
            self._tracker.refuse(f"a call of litellm's that can't be read: {type(error).__name__}")

    def _is_first(self, what: str, event: _Event) -> bool:
        """Return whether it is told for the first time: litellm may tell sync and async."""
        call_id = _call_id(event)
        return not call_id or not self._ended.swap((what, call_id), value=True, default=False)

    def _track_answer(self, event: _Event, response: object, latency_ms: int | None) -> None:
        provider = _provider(event)
        usage: object
        try:
            read = read_response(response, provider=provider)
            usage = read.usage
        except UsageError:
            read = Response(provider, "", NOTHING_USED)
            usage = _usage_beside(event, response)
        reported = Reported(
            billed_model(provider, str(event.get("model") or ""), read.model),
            usage,
            read.provider,
            read.batch,
            read.tier,
            cached=event.get("cache_hit") is True,
            latency_ms=latency_ms,
            attribution=self._attribution(event),
        )
        self._tracker.track_quietly(reported)

    def _track_error(self, event: _Event, latency_ms: int | None) -> None:
        error = event.get("exception")
        reported = Reported(
            str(event.get("model") or ""),
            NOTHING_USED,
            _provider(event),
            latency_ms=latency_ms,
            status="error",
            error_type=None if error is None else type(error).__name__,
            attribution=self._attribution(event),
        )
        self._tracker.track_quietly(reported)

    def _attribution(self, event: _Event) -> Attribution:
        base = self._begun.pop(_call_id(event), NOBODY)
        if base is NOBODY:
            base = current_attribution()
        metadata = (event.get("litellm_params") or {}).get("metadata") or {}
        values = {"user": event["user"]} if isinstance(event.get("user"), str) else {}
        for theirs, ours in self._names.items():
            value = metadata.get(theirs)
            if isinstance(value, str) and value:
                values[ours] = value
        return extended(base, values) if values else base


def _call_id(event: _Event) -> str:
    return str(event.get("litellm_call_id") or "")


def _whole_response(event: _Event, response: object) -> object:
    for name in ("async_complete_streaming_response", "complete_streaming_response"):
        if event.get(name) is not None:
            return event[name]
    return response


def _provider(event: _Event) -> str:
    params = event.get("litellm_params") or {}
    return provider_id(
        str(event.get("custom_llm_provider") or params.get("custom_llm_provider") or "")
    )


def _usage_beside(event: _Event, response: object) -> object:
    """Return what is billed where the answer holds no usage; what it holds, for the tracker."""
    fields = fields_of(response)
    if "speech" in str(event.get("call_type")) and isinstance(event.get("input"), str):
        return Usage(characters=len(event["input"]))
    hidden = fields_of(getattr(response, "_hidden_params", None))
    seconds = hidden.get("audio_transcription_duration")
    if seconds is not None:
        return {"seconds": seconds}
    return fields.get("usage")


def _latency(start: object, end: object) -> int | None:
    if isinstance(start, datetime) and isinstance(end, datetime):
        return max(0, (end - start) // timedelta(milliseconds=1))
    return None
