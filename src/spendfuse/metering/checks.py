"""What a tracker can be made of: mistakes are told when it is made, all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spendfuse.errors import InputError, SettingsError
from spendfuse.metering.price_book import PriceBook
from spendfuse.metering.privacy import Pseudonyms
from spendfuse.money import decimal_usd, nano_usd


def checked_limit(warn_above_usd: object) -> int | None:
    try:
        return None if warn_above_usd is None else nano_usd(decimal_usd(warn_above_usd))
    except InputError as error:
        raise SettingsError(f"warn_above_usd: {error}") from error


def check_parts(
    sinks: object, prices: object, pseudonyms: object, attributes: object, unknown_models: object
) -> None:
    """Say what is wrong with what a tracker is made of, before the first request finds out.

    Raises:
        SettingsError: every mistake, a line each.
    """
    given = list(sinks) if isinstance(sinks, Iterable) else [sinks]
    wrong = [each for each in given if not callable(getattr(each, "emit", None))]
    mistakes = [
        (
            bool(wrong),
            f"sinks: expected opened sinks, got {wrong[:1]}; open_sinks([...]) opens them",
        ),
        (
            prices is not None and not isinstance(prices, PriceBook),
            f"prices: expected a PriceBook, such as PriceBook.standard(Path(...)), got {prices!r}",
        ),
        (
            pseudonyms is not None and not isinstance(pseudonyms, Pseudonyms),
            "pseudonyms: expected Pseudonyms(key), with a key of bytes",
        ),
        (
            attributes is not None and not isinstance(attributes, Mapping),
            f"attributes: expected a mapping such as {{'team': 'search'}}, got {attributes!r}",
        ),
        (
            unknown_models not in {"raise", "unpriced"},
            f'unknown_models: must be "raise" or "unpriced", got {unknown_models!r}',
        ),
    ]
    said = [text for is_wrong, text in mistakes if is_wrong]
    if said:
        raise SettingsError("\n".join(said))
