"""What may a call cost, and how much may it put out for what is left?

Estimates are exact integers of nano-dollars, rather too high than too low.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from decimal import ROUND_CEILING, Context, Decimal
from functools import lru_cache
from typing import NamedTuple

from spendfuse.errors import InputError, SettingsError, SpendfuseError
from spendfuse.metering.estimate import DEFAULT_MAX_TOKENS, estimate_tokens
from spendfuse.metering.price import Price
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.usage import MAX_COUNT, NO_USAGE, Usage, shown_value
from spendfuse.money import EXACT, NANO_PER_USD, decimal_usd, display_usd, nano_usd

Dollars = Decimal | str | int | float
"""An amount in dollars; of a float, 15 digits count, rounded up to a nano-dollar."""
MOST_NANO_USD = 2**53 - 1
"""Of one request, in every store: nine million dollars. Valkey counts no further exactly."""
LEAST_TOKENS = 16
_SHORT = 40
_FLOAT = Context(prec=15)
"""The digits of a float that are certain."""


def amount_nano_usd(dollars: object) -> int:
    """Return an amount of dollars in nano-dollars.

    Raises:
        InputError: it is no amount, below 0, above nine million, or, unless it is a float, finer
            than a nano-dollar.
    """
    if type(dollars) is str and len(dollars) <= _SHORT:
        return _nano_usd_of_text(dollars)
    return _nano_usd(dollars)


@lru_cache(maxsize=1024)
def _nano_usd_of_text(dollars: str) -> int:
    # An app's estimates are few and always the same.
    return _nano_usd(dollars)


def _nano_usd(dollars: object) -> int:
    amount = decimal_usd(dollars)
    if amount < 0:
        raise InputError(f"an amount can't be below 0, got {dollars!r}")
    nano = _nano_usd_of_float(amount) if isinstance(dollars, float) else nano_usd(amount)
    if nano > MOST_NANO_USD:
        raise InputError(
            f"one request can't cost {amount} USD: at most {display_usd(MOST_NANO_USD)}; "
            "is it in cents?"
        )
    return nano


def _nano_usd_of_float(amount: Decimal) -> int:
    """Read what others computed: 0.1 + 0.2 is not finer than a nano-dollar, only inexact."""
    return int(EXACT.multiply(_FLOAT.plus(amount), NANO_PER_USD).to_integral_value(ROUND_CEILING))


class CallEstimate(NamedTuple):
    """A call that is not yet made: all its input fresh, all of its ``max_tokens`` used."""

    price: Price
    input_tokens: int
    max_tokens: int | None
    """None where the model puts out nothing that is priced, as for an embedding."""

    @property
    def most_nano_usd(self) -> int:
        """The cost with all of ``max_tokens`` used.

        Raises:
            InputError: it is more than one request can cost.
        """
        nano = self.nano_usd(self.max_tokens)
        if nano > MOST_NANO_USD:
            raise InputError(f"one call can't cost {display_usd(nano)}; check max_tokens")
        return nano

    def nano_usd(self, output_tokens: int | None) -> int:
        """Return the cost with that much output."""
        usage = Usage(input_tokens=self.input_tokens, output_tokens=output_tokens or 0)
        return self.price.nano_usd(usage)

    def tokens_within(self, nano: int) -> int:
        """Return the largest ``max_tokens``, not above the one it has, that costs ``nano``."""
        return bisect_right(range((self.max_tokens or 0) + 1), nano, key=self.nano_usd) - 1


class Estimator:
    """Estimates calls by their model and prompt.

    Args:
        prices: the price book; None for the installed one, opened when it is first needed.
        default_max_tokens: output that is assumed of a call that has no ``max_tokens``.
        max_output_tokens: the most that a model can put out, by its name.
        least_tokens: below this much output, a call is refused and not lowered.
    """

    def __init__(
        self,
        prices: PriceBook | None,
        *,
        default_max_tokens: int = DEFAULT_MAX_TOKENS,
        max_output_tokens: Mapping[str, int] | None = None,
        least_tokens: int = LEAST_TOKENS,
    ) -> None:
        if prices is not None and not isinstance(prices, PriceBook):
            raise SettingsError(f"prices must be a PriceBook, got {type(prices).__name__}")
        self._prices = prices
        self._default = _checked("default_max_tokens", default_max_tokens)
        self._least = _checked("least_tokens", least_tokens)
        self._most = {
            model: _checked(f"max_output_tokens of {model}", most)
            for model, most in (max_output_tokens or {}).items()
        }

    @property
    def is_open(self) -> bool:
        """Whether the price book is there: opening it takes half a second."""
        return self._prices is not None

    @property
    def prices(self) -> PriceBook:
        if self._prices is None:
            self._prices = PriceBook.standard()
        return self._prices

    def asked(
        self,
        model: str,
        provider: str,
        prompt: object,
        *,
        at: datetime,
        max_tokens: int | None = None,
        tier: str | None = None,
        batch: bool = False,
    ) -> CallEstimate:
        """Return what a call may cost.

        Args:
            model: what will be called.
            provider: "" where the model's name tells.
            prompt: a text or messages, or the number of input tokens if you know it.
            at: when it will be called.
            max_tokens: the limit on output that the call will carry. None: the smaller of what
                the model can put out and the default; the call must then carry that.
            tier: flex, priority or fast.
            batch: through the provider's batch interface.

        Raises:
            UnknownModelError: the price book does not know the model.
            PriceError: it has no price for this way of processing, or for tokens.
            InputError: the prompt or max_tokens can't be.
        """
        if not isinstance(model, str):
            raise InputError(f"model must be text, got {shown_value(model)}")
        if not model or prompt is None:
            raise InputError(
                "what may it cost? Give an estimate in dollars, or a model and its prompt"
            )
        if max_tokens is not None:
            _checked("max_tokens", max_tokens)
        is_number = isinstance(prompt, int) and not isinstance(prompt, bool)
        tokens = prompt if is_number else estimate_tokens(prompt)
        if not 0 <= tokens <= MAX_COUNT:  # type: ignore[operator]
            raise InputError(f"a prompt of {shown_value(tokens)} tokens can't be")
        price = self.prices.price(provider, model, NO_USAGE, at=at, tier=tier, batch=batch).price
        if "output_tokens" in price.unpriced:
            max_tokens = None
        elif max_tokens is None:
            max_tokens = self._assumed(model, price, tokens)  # type: ignore[arg-type]
        return CallEstimate(price, tokens, max_tokens)  # type: ignore[arg-type]

    def provider_of(self, model: object, *, at: datetime) -> str:
        """Return who bills a model, as its records will say; empty where nobody knows."""
        try:
            return self.prices.price("", str(model), NO_USAGE, at=at).price.provider
        except SpendfuseError:
            return ""

    def least_nano_usd(self, call: CallEstimate) -> int:
        """Return what would do where a budget lowers ``max_tokens``."""
        if call.max_tokens is None:
            return call.nano_usd(0)
        return call.nano_usd(min(self._least, call.max_tokens))

    def _assumed(self, model: str, price: Price, input_tokens: int) -> int:
        """Return the smaller of the model's maximum and the default; never below one token."""
        most = self._most.get(model) or self._most.get(price.model)
        if most is None:
            most = self._default
            if price.context_window is not None:
                most = min(most, price.context_window - input_tokens)
        return max(1, min(most, self._default))


def _checked(name: str, tokens: object) -> int:
    if type(tokens) is not int or not 0 < tokens <= MAX_COUNT:
        raise InputError(
            f"{name} must be a whole number of tokens above 0, got {shown_value(tokens)}"
        )
    return tokens
