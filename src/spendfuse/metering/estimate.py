"""What will this call cost, before it is made?

An estimate must rather be too high than too low, because budgets hold it back. By default a token
counts for three bytes of UTF-8: English has about four, Chinese about three, code between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from spendfuse.errors import InputError
from spendfuse.metering.price import Cost
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.usage import Usage

CountTokens = Callable[[str], int]
BYTES_PER_TOKEN = 3
TOKENS_PER_MESSAGE = 4
"""The role and the marks around a message.
https://developers.openai.com/cookbook/examples/how_to_count_tokens_with_tiktoken"""
TOKENS_PER_IMAGE = 1_600
"""Of one image at the usual largest size; what providers bill depends on its pixels.
https://platform.claude.com/docs/en/build-with-claude/vision"""
DEFAULT_MAX_TOKENS = 4_096
"""Output that is assumed of a call without ``max_tokens``."""
_IMAGE_TYPES = frozenset({"image", "image_url", "input_image", "image_file"})


def bytes_heuristic(text: str) -> int:
    """Return the tokens of a text, rather too many: one for each three bytes."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def estimate_tokens(prompt: object, *, count: CountTokens = bytes_heuristic) -> int:
    """Return the input tokens of a prompt.

    Args:
        prompt: a text, a message with its content, or a list of them; tools are JSON objects.
        count: how a text is counted; ``metering.tiktoken.counter`` returns an exact one.

    Example:
        >>> estimate_tokens("What is a fuse?")
        5
        >>> estimate_tokens([{"role": "user", "content": "What is a fuse?"}])
        9
    """
    if isinstance(prompt, str):
        return count(prompt)
    if isinstance(prompt, Mapping):
        return _tokens_of_object(prompt, count)
    if isinstance(prompt, Iterable) and not isinstance(prompt, bytes):
        return sum(estimate_tokens(each, count=count) for each in prompt)
    raise InputError(f"expected a text or messages, got {type(prompt).__name__}")


def _tokens_of_object(item: Mapping[str, Any], count: CountTokens) -> int:
    if item.get("type") in _IMAGE_TYPES or "image" in item:
        return TOKENS_PER_IMAGE
    if "role" in item:
        content = item.get("content") or ""
        rest = {key: item[key] for key in item.keys() - {"role", "content"} if item[key]}
        own = estimate_tokens(content, count=count) + (count(_json(rest)) if rest else 0)
        return own + TOKENS_PER_MESSAGE
    if isinstance(item.get("text"), str):
        return count(item["text"])
    return count(_json(item))


def _json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def estimate_cost(
    prices: PriceBook,
    provider: str,
    model: str,
    prompt: object,
    *,
    at: datetime,
    max_tokens: int | None = None,
    count: CountTokens = bytes_heuristic,
    tier: str | None = None,
    batch: bool = False,
) -> Cost:
    """Return the most that a call is likely to cost: all its input fresh, all its output used.

    Args:
        prices: the price book.
        provider: "" where the model's name tells.
        model: what will be called.
        prompt: a text or messages, or the number of input tokens if you know it.
        at: when the call will be made.
        max_tokens: the limit on output that the call will carry; 4,096 are assumed without one.
        count: how a text is counted.
        tier: flex, priority or fast.
        batch: through the provider's batch interface.

    Raises:
        UnknownModelError: the price book does not know the model.
        UsageError: ``max_tokens`` or the number of tokens can't be.
    """
    is_number = isinstance(prompt, int) and not isinstance(prompt, bool)
    usage = Usage(
        input_tokens=prompt if is_number else estimate_tokens(prompt, count=count),  # type: ignore[arg-type]
        output_tokens=DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens,
    )
    price = prices.price_of(provider, model, at=at, tier=tier, batch=batch)
    if "output_tokens" in price.unpriced:
        usage = Usage(input_tokens=usage.input_tokens)  # embeddings put nothing out
    return Cost(price.nano_usd(usage), price, usage)
