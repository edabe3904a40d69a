"""What was reported of a call, read and priced; or why it has no price, in a sentence.

Reports come from other people's code, in the middle of their requests. Whatever they hold, this
gives an answer; the one error that leaves it is the unknown model, for those who want it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple, get_args

from spendfuse.errors import InputError
from spendfuse.metering.attribution import attribute_text
from spendfuse.metering.price_book import PriceBook, UnknownModelError
from spendfuse.metering.record import Status
from spendfuse.metering.reporting import Reported
from spendfuse.metering.responses import usage_from
from spendfuse.metering.usage import NO_USAGE, NOTHING_USED, Usage, UsageError

STATUSES = frozenset(get_args(Status))
_UNKNOWN = "the price book does not know the model"


class Priced(NamedTuple):
    usage: Usage
    nano_usd: int | None
    """None where there is no price; ``problem`` says why."""
    provider: str
    price_version: str
    problem: str | None = None
    is_refused: bool = False
    """Whether the usage itself could not be read."""


def priced(
    prices: PriceBook, reported: Reported, at: datetime, *, raises_unknown: bool = False
) -> Priced:
    """Return what a reported call used and cost. ``reported`` is ``cleaned``.

    Raises:
        UnknownModelError: only where ``raises_unknown``.
    """
    usage, provider = reported.usage, reported.provider
    if type(usage) is not Usage:
        usage = _read(usage, provider)
    if isinstance(usage, str):
        return Priced(NO_USAGE, None, attribute_text(provider), "", usage, is_refused=True)
    if reported.cached or usage == NOTHING_USED or _failed_unused(reported, usage):
        return Priced(usage, 0, attribute_text(provider), prices.version)
    try:
        cost = prices.price(
            provider, reported.model, usage, at=at, tier=reported.tier, batch=reported.batch
        )
    except UnknownModelError as error:
        if raises_unknown:
            raise
        provider, problem = error.provider, _UNKNOWN
    except InputError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001 (a tier of the app's own, whatever it is)
        problem = f"the price can't be found: {type(error).__name__}"
    else:
        return Priced(usage, cost.nano_usd, cost.price.provider, cost.price.version)
    return Priced(usage, None, attribute_text(provider), prices.version, problem)


def _read(usage: object, provider: str) -> Usage | str:
    """Return the usage, or why it can't be read."""
    try:
        return usage_from(usage, provider=provider)
    except UsageError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 (an object of the app's own, whatever it does)
        return f"the usage can't be read: {type(error).__name__}"


def _failed_unused(reported: Reported, usage: Usage) -> bool:
    """Return whether the call failed before the provider counted anything."""
    return reported.status == "error" and usage == NO_USAGE


def cleaned(reported: Reported) -> Reported:
    """Return a report whose fields are of their types; most are, and come back as they are."""
    if (
        type(reported.model) is str
        and type(reported.provider) is str
        and type(reported.cached) is bool
        and type(reported.batch) is bool
        and reported.status in STATUSES
        and (reported.error_type is None or type(reported.error_type) is str)
    ):
        return reported
    error_type = _class_name(reported.error_type)
    status = reported.status
    if not isinstance(status, str) or status not in STATUSES:
        status = "error" if error_type else "ok"
    return reported._replace(
        model=_text(reported.model),
        provider=_text(reported.provider),
        cached=reported.cached is True,
        batch=reported.batch is True,
        status=status,
        error_type=error_type,
    )


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else attribute_text(value)


def _class_name(error: Any) -> str | None:
    """Return the class of an error; its text may hold a prompt."""
    if error is None or isinstance(error, str):
        return error
    return (error if isinstance(error, type) else type(error)).__name__


def whole_milliseconds(latency: Any) -> int | None:
    """Return a latency in whole milliseconds; None for what is no latency."""
    try:
        whole = int(latency)
    except (TypeError, ValueError, OverflowError):
        return None
    return int(whole) if whole >= 0 else None
