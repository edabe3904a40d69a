"""Which family of responses is this? To add one is to add a file and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from spendfuse.metering.responses import anthropic, bedrock, cohere, gemini, mistral, openai
from spendfuse.metering.responses.batches import unwrapped
from spendfuse.metering.responses.fields import fields_of, text_of, unreadable
from spendfuse.metering.responses.litellm import noted_provider
from spendfuse.metering.responses.response import Response
from spendfuse.metering.usage import UsageError


class Family(NamedTuple):
    is_mine: Callable[[Mapping[str, Any]], bool]
    read: Callable[[Mapping[str, Any], str], Response]


FAMILIES = (
    Family(anthropic.is_mine, anthropic.read),
    Family(bedrock.is_mine, bedrock.read),
    Family(gemini.is_mine, gemini.read),
    Family(cohere.is_mine, cohere.read),
    Family(mistral.is_mine, mistral.read),
)
"""What none of them knows is read as OpenAI's: most of the world answers so."""


def read_response(response: object, *, provider: str = "") -> Response:
    """Return what a raw response tells of its call.

    Takes dicts and SDK objects of OpenAI (chat, responses, embeddings, images, transcriptions)
    and all who speak as it does, Anthropic, Bedrock (Converse; InvokeModel with its body as
    bytes, text or parsed, else by its headers), Gemini, Cohere, Mistral and litellm; and lines of
    their batches' output files. Nothing of it is changed, and no stream in it is read.

    Args:
        response: what came back, or the dict that it was made of.
        provider: who answered, where you know better; else (or where it is no text) what the
            response itself shows.

    Raises:
        UsageError: it has no usage (the error names the fields that it has), or usage that
            can't be; or it raised while it was read. Nothing else is raised.
    """
    try:
        return _read(response, text_of(provider))
    except UsageError:
        raise
    except Exception as error:
        raise unreadable("the response", error) from error


def _read(response: object, provider: str) -> Response:
    fields = fields_of(response)
    if not fields:
        raise UsageError(
            "a response must be a mapping or an SDK's object, "
            f"got {type(response).__name__} without fields"
        )
    inner, house, is_batched = unwrapped(fields)
    name = provider or noted_provider(response, fields) or house
    family_read = next((each.read for each in FAMILIES if each.is_mine(inner)), openai.read)
    read = family_read(inner, name)
    return read._replace(tier=None, batch=True) if is_batched else read
