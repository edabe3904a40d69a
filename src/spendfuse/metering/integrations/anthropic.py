"""Metering Anthropic's clients: its own API, Bedrock, Vertex and Foundry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import anthropic

from spendfuse.errors import InputError
from spendfuse.metering.attribution import Scalar
from spendfuse.metering.integrations.hosts import provider_of_host
from spendfuse.metering.integrations.meter import Meter
from spendfuse.metering.integrations.sdk_client import ClientMeter, Operation, Sdk

OPERATIONS: Mapping[str, Operation] = {
    "/v1/messages": Operation("text"),
    "/v1/complete": Operation("text"),
}
"""What costs money and answers in the same connection. Batches come with a later call."""

_HOSTS: Mapping[str, str] = {
    "AnthropicAWS": "anthropic",
    "AnthropicBedrock": "aws",
    "AnthropicBedrockMantle": "aws",
    "AnthropicVertex": "google",
    "AnthropicGoogleCloud": "google",
    "AnthropicFoundry": "azure",
}
"""Whose prices hold, by the client's class: a proxy may stand at its address."""

_Client = TypeVar("_Client")


def metered(
    client: _Client, tracker: Meter, /, *, provider: str = "", **attributes: Scalar
) -> _Client:
    """Return a copy of an Anthropic client whose messages are tracked, streamed ones at their end.

    The copy shares the client's connections and is of its class; the client itself stays
    unmetered. Copies by ``with_options``, raw and streaming responses, ``messages.stream`` and
    ``beta.messages`` with its tool runner are metered too. A stream that breaks off is recorded
    with its input as the provider told it, and the output seen so far as an estimate. Metering a
    metered client again replaces its meter.

    Args:
        client: An ``Anthropic``, ``AsyncAnthropic``, or one for Bedrock, Vertex or Foundry.
        tracker: Where the calls go.
        provider: Who sends the bill, where the client does not tell.
        **attributes: Hold for every call, over what ``attributed()`` says.

    Raises:
        InputError: it is another SDK's client.

    Example:
        client = metered(Anthropic(), tracker, feature="search")
        client.messages.create(model="claude-haiku-4-5", max_tokens=500, messages=messages)
    """
    # Its kin for Bedrock, Vertex and Foundry share no public base; an app may subclass any.
    if not any(each.__module__.startswith("anthropic.") for each in type(client).__mro__):
        name = type(client).__name__
        raise InputError(f"expected an Anthropic client, sync or async, got {name}")
    return ClientMeter(_SDK, tracker, provider, attributes).metered(client)


def _provider_of(client: Any) -> str:
    names = (each.__name__.removeprefix("Async") for each in type(client).__mro__)
    by_class = next((_HOSTS[name] for name in names if name in _HOSTS), "")
    return by_class or provider_of_host(client.base_url.host)


_SDK = Sdk(
    operations=OPERATIONS,
    provider_of=_provider_of,
    streams=(anthropic.Stream, anthropic.AsyncStream),
    timeouts=(anthropic.APITimeoutError,),
    refusals=(),
)
