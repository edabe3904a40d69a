"""Dollars, exactly.

Money is ``Decimal`` dollars at every edge and integer nano-dollars (10⁻⁹ USD) in every
counter: a 20-token embedding costs 0.4 micro-dollars, and ADD on integers is exact.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation

from spendfuse.errors import InputError

NANO_PER_USD = 10**9
_NANO_EXPONENT = -9
_CENT = Decimal("0.01")
EXACT = Context(prec=60)
"""For products and quotients of money: the app's own context may round to fewer digits."""
_MOST_DIGITS = 18
"""Of dollars before the point: above what anyone spends, and within a DynamoDB number."""


def decimal_usd(value: object) -> Decimal:
    """Read dollars from text, an int, a Decimal or a JSON number.

    A float is read by its shortest text, so 1000.5 in a JSON file means 1000.5.

    Raises:
        InputError: not a finite number.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise InputError(f"expected an amount in dollars, such as 1000 or '0.75', got {value!r}")
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite():
        raise InputError(f"expected an amount in dollars, such as 1000 or '0.75', got {value!r}")
    return amount


def nano_usd(dollars: Decimal) -> int:
    """Return ``dollars`` in nano-dollars.

    Raises:
        InputError: finer than a nano-dollar, or 10¹⁸ dollars and more.
    """
    if not dollars:
        return 0
    if not dollars.is_finite() or dollars.adjusted() >= _MOST_DIGITS:
        raise InputError(f"{dollars} USD is more than can be counted")
    # Integers, because a product of Decimals is rounded to the context's 28 digits. What is
    # far below a nano-dollar is told apart first: its denominator alone could fill the memory.
    if dollars.adjusted() >= _NANO_EXPONENT:
        numerator, denominator = dollars.as_integer_ratio()
        nano, rest = divmod(numerator * NANO_PER_USD, denominator)
        if not rest:
            return nano
    raise InputError(f"{dollars} USD is finer than a nano-dollar (9 decimal places)")


def usd(nano: int) -> Decimal:
    """Return nano-dollars as exact dollars."""
    return EXACT.divide(Decimal(nano), NANO_PER_USD)


def usd_text(nano: int) -> str:
    """Return nano-dollars as dollars with nine decimal places: ``0.012300000``.

    Exact, and a number in JSON too, where a float would not be exact.
    """
    whole, rest = divmod(abs(nano), NANO_PER_USD)
    return f"{'-' if nano < 0 else ''}{whole}.{rest:09d}"


def display_usd(nano: int) -> str:
    """Return nano-dollars for people: ``$1,234.50``; below a cent with all that counts.

    Display only: never parse it back.
    """
    sign = "-" if nano < 0 else ""
    amount = usd(abs(nano))
    if 0 < amount < _CENT:
        return f"{sign}${amount.normalize(EXACT):f}"
    return f"{sign}${amount.quantize(_CENT, ROUND_HALF_UP, EXACT):,}"
