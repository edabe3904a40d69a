"""Metering OpenAI's clients, Azure's among them, and all whom they are pointed at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import openai

from spendfuse.errors import InputError
from spendfuse.metering.attribution import Scalar
from spendfuse.metering.integrations.hosts import provider_of_host
from spendfuse.metering.integrations.meter import Meter
from spendfuse.metering.integrations.sdk_client import ClientMeter, Operation, Sdk

OPERATIONS: Mapping[str, Operation] = {
    "/chat/completions": Operation("text", usage_on_request=True),
    "/responses": Operation("text"),
    "/embeddings": Operation("input"),
    "/responses/compact": Operation("text"),
    "/decisions": Operation("text"),
    "/audio/speech": Operation("characters"),
    "/audio/transcriptions": Operation("none"),
    "/audio/translations": Operation("none"),
    "/images/generations": Operation("none"),
    "/images/edits": Operation("none"),
    "/images/variations": Operation("none"),
    "/completions": Operation("text", usage_on_request=True),
}
"""What costs money and answers in the same connection; the longest path first.

Left out are batches and videos, whose usage comes with a later call, and realtime sessions, which
are no requests. Background responses are counted when they are retrieved."""

_Client = TypeVar("_Client", bound=openai.OpenAI | openai.AsyncOpenAI)


def metered(
    client: _Client, tracker: Meter, /, *, provider: str = "", **attributes: Scalar
) -> _Client:
    """Return a copy of an OpenAI client whose calls are tracked, streamed ones at their end.

    The copy shares the client's connections and is of its class; the client itself stays
    unmetered. Copies by ``with_options``, raw and streaming responses are metered too. Metering a
    metered client again replaces its meter.

    A chat stream says what it used only if asked: so ``include_usage`` is set unless you set it,
    and the event without choices that comes of it is kept from you. A server that refuses it is
    asked again without, and remembered. Streams without usage are estimated, and marked so by
    the field ``estimated``; those you read as bytes (``with_streaming_response``) are never asked.

    Args:
        client: An ``OpenAI``, ``AsyncOpenAI``, ``AzureOpenAI`` or ``AsyncAzureOpenAI``.
        tracker: Where the calls go.
        provider: Who sends the bill, where the client's address does not tell.
        **attributes: Hold for every call, over what ``attributed()`` says.

    Raises:
        InputError: it is another SDK's client.

    Example:
        client = metered(OpenAI(), tracker, feature="search")
        client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    """
    if not isinstance(client, openai.OpenAI | openai.AsyncOpenAI):
        name = type(client).__name__
        raise InputError(f"expected an OpenAI or AsyncOpenAI client, got {name}")
    return ClientMeter(_SDK, tracker, provider, attributes).metered(client)


def _provider_of(client: Any) -> str:
    if isinstance(client, openai.AzureOpenAI | openai.AsyncAzureOpenAI):
        return "azure"
    return provider_of_host(client.base_url.host)


_SDK = Sdk(
    operations=OPERATIONS,
    provider_of=_provider_of,
    streams=(openai.Stream, openai.AsyncStream),
    timeouts=(openai.APITimeoutError,),
    refusals=(openai.BadRequestError, openai.UnprocessableEntityError),
)
