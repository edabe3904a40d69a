"""Usage that comes in the events of a stream, mostly in its last.

One accumulator for all providers: each event shows what it is. Where a stream breaks off, what
came until then stands: Anthropic tells the input at once, OpenAI nothing before the end.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar

from spendfuse.metering.responses.bedrock import AWS, METRICS
from spendfuse.metering.responses.fields import fields_of, items_of
from spendfuse.metering.responses.gemini import counts_of as gemini_counts
from spendfuse.metering.responses.reading import read_response
from spendfuse.metering.responses.response import Response

_COUNTED_AS_IT_GOES = (
    "prompt_token_count",
    "generation_token_count",
    "inputTextTokenCount",
    "totalOutputTextTokenCount",
)
"""Llama's and Titan's counts on Bedrock, spread over their chunks."""


class StreamUsage:
    """Collects a stream's usage from its events, in the order in which they come.

    Takes chat chunks (OpenAI, and all who speak as it does; OpenAI sends usage where the call had
    ``stream_options={"include_usage": True}``), events of OpenAI's responses, images and
    transcriptions, Anthropic's and Cohere's events, Gemini's chunks, and Bedrock's of
    ConverseStream and InvokeModelWithResponseStream; as dicts or SDK objects.

    Example:
        >>> stream = StreamUsage()
        >>> stream.add({"type": "message_start", "message": {"usage": {"input_tokens": 25}}})
        >>> stream.complete
        False
        >>> stream.response("anthropic", "claude-sonnet-4-5").usage.input_tokens
        25
    """

    __slots__ = (
        "_finished",
        "_host",
        "_message",
        "_metrics",
        "_model",
        "_partial",
        "_piece",
        "complete",
    )

    def __init__(self) -> None:
        self.complete = False
        """Whether the final counts have come; before that the usage is what is known so far."""
        self._finished = False
        self._piece: object = None
        self._message: dict[str, Any] = {}
        self._metrics: object = None
        self._partial: dict[str, Any] = {}
        self._host = ""
        self._model = ""

    def add(self, event: object) -> None:
        """Take what ``event`` tells of the usage; what can't be read tells nothing.

        Never raises: it stands between a provider and somebody's user.
        """
        with suppress(Exception):
            self._take(event)

    def response(self, provider: str = "", model: str = "") -> Response | None:
        """Return what is known now; None where no count has come yet.

        Args:
            provider: who answers; else what the events show.
            model: as it was asked for. It holds where the events name none, and on Bedrock, whose
                events leave the region out.

        Raises:
            UsageError: the counts can't be.
        """
        known = self._known()
        if known is None:
            return None
        read = read_response(known, provider=provider or self._host)
        asked_for = model if read.provider == AWS or not read.model else ""
        return read._replace(model=asked_for or read.model or self._model)

    def _known(self) -> object:
        if self._piece is not None:
            return self._piece
        if "input_tokens" in self._message.get("usage", ()):
            return self._message
        if self._metrics is not None:
            return {METRICS: self._metrics}
        return self._partial or self._message or None

    def _take(self, event: object) -> None:
        fields = fields_of(event)
        kind = fields.get("type") or fields.get("event_type")
        if kind is not None:
            take = self._BY_TYPE.get(kind)
            if take is not None:
                take(self, fields)
        elif fields.get("usage"):
            choices = items_of(fields.get("choices"))
            # Some count as they go; OpenAI counts after its last word, litellm in a chunk with one.
            is_last = self._finished or not choices or _has_finished(choices)
            self._take_last(event, is_last=is_last)
        elif "choices" in fields:
            self._take_marks(event, fields)
        elif gemini_counts(fields) is not None:
            self._take_last(event, is_last=_is_last_candidate(fields))
        else:
            self._take_from_bedrock(fields)

    def _take_last(self, piece: object, *, is_last: bool) -> None:
        self._piece = piece
        if is_last:
            self.complete = True

    def _take_marks(self, event: object, fields: Mapping[str, Any]) -> None:
        """Take what chunks without usage tell: the end, Azure's mark, and Groq's usage."""
        if _has_finished(items_of(fields["choices"])):
            self._finished = True
        if fields.get("prompt_filter_results"):
            self._host = "azure"
        if fields_of(fields.get("x_groq")).get("usage"):
            self._take_last(event, is_last=True)

    def _take_from_bedrock(self, fields: Mapping[str, Any]) -> None:
        metadata = fields.get("metadata")
        if fields_of(metadata).get("usage"):
            self._host = AWS
            self._take_last(metadata, is_last=True)
        raw = fields_of(fields.get("chunk")).get("bytes")
        # Most chunks hold a word or two: only those that may count are parsed.
        if isinstance(raw, bytes) and b"oken" in raw:
            self._host = AWS
            self._take_chunk(json.loads(raw))

    def _take_chunk(self, chunk: Mapping[str, Any]) -> None:
        for name in _COUNTED_AS_IT_GOES:
            if chunk.get(name) is not None:
                self._partial[name] = chunk[name]
        self._take(chunk)
        if chunk.get(METRICS) is not None:
            self._metrics = chunk[METRICS]
            self.complete = True

    def _take_message_start(self, fields: Mapping[str, Any]) -> None:
        message = fields_of(fields.get("message"))
        # Anew: a client that tries again may send its events through the same accumulator.
        self._message = {"type": "message", "id": message.get("id"), "model": message.get("model")}
        self._take_message_usage(message)

    def _take_message_delta(self, fields: Mapping[str, Any]) -> None:
        self._message.setdefault("type", "message")
        self._take_message_usage(fields)
        if fields_of(fields.get("delta")).get("stop_reason") is not None:
            self.complete = True

    def _take_message_usage(self, fields: Mapping[str, Any]) -> None:
        # Later counts are of all until then; those that an event leaves out stay as they were.
        counts = fields_of(fields.get("usage")).items()
        known = {name: count for name, count in counts if count is not None}
        self._message["usage"] = self._message.get("usage", {}) | known

    def _take_message_stop(self, _fields: Mapping[str, Any]) -> None:
        self.complete = bool(self._message)

    def _take_model(self, fields: Mapping[str, Any]) -> None:
        model = fields_of(fields.get("response")).get("model")
        self._model = model if isinstance(model, str) else ""

    def _take_response(self, fields: Mapping[str, Any]) -> None:
        response = fields.get("response")
        given = fields_of(response)
        if given.get("usage") is not None or given.get("meta") is not None:
            self._take_last(response, is_last=True)

    def _take_itself(self, fields: Mapping[str, Any]) -> None:
        if fields.get("usage") is not None:
            self._take_last(fields, is_last=True)

    def _take_delta(self, fields: Mapping[str, Any]) -> None:
        self._take_itself(fields_of(fields.get("delta")))

    def _take_inner(self, fields: Mapping[str, Any]) -> None:
        self._take(fields.get("chunk"))

    _BY_TYPE: ClassVar[Mapping[object, Callable[[StreamUsage, Mapping[str, Any]], None]]] = {
        # Anthropic
        "message_start": _take_message_start,
        "message_delta": _take_message_delta,
        "message_stop": _take_message_stop,
        # OpenAI's responses and realtime
        "response.created": _take_model,
        "response.completed": _take_response,
        "response.incomplete": _take_response,
        "response.failed": _take_response,
        "response.done": _take_response,
        # its images and transcriptions
        "image_generation.completed": _take_itself,
        "image_edit.completed": _take_itself,
        "transcript.text.done": _take_itself,
        # its SDK's own events around chat chunks
        "chunk": _take_inner,
        # Cohere, second and first version
        "message-end": _take_delta,
        "stream-end": _take_response,
    }


def _has_finished(choices: Sequence[object]) -> bool:
    return any(fields_of(each).get("finish_reason") for each in choices)


def _is_last_candidate(fields: Mapping[str, Any]) -> bool:
    candidates = [fields_of(each) for each in items_of(fields.get("candidates"))]
    return any(each.get("finishReason") or each.get("finish_reason") for each in candidates)
