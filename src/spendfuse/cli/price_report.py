"""What ``spendfuse prices check`` and ``diff`` say to people: two prices beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from spendfuse.cli.price_layout import (
    GAP,
    UNITS,
    aligned,
    dollars,
    hours_text,
    percent,
    table,
    words,
)
from spendfuse.metering.price_changes import Change, Diffs
from spendfuse.metering.price_check import Difference, ProviderCheck
from spendfuse.metering.price_diff import RateDiff
from spendfuse.metering.processing import STANDARD

_INDENT = GAP * 2


class _Block(NamedTuple):
    """Some rates below a heading, and remarks below them."""

    heading: str
    diffs: Mapping[str, Sequence[RateDiff]]
    remarks: Sequence[str] = ()


def check_lines(checks: Sequence[ProviderCheck], title: Sequence[str]) -> Iterator[str]:
    yield from title
    if not checks:
        yield "Their table has no model of this provider."
        return
    for check in checks:
        if check.differing:
            yield ""
            yield from _side_by_side(check.provider, _check_blocks(check), ("ours", "theirs"))
    yield ""
    yield from _summary(checks)


def _check_blocks(check: ProviderCheck) -> Iterator[_Block]:
    """Yield each model's differences once, with all the names that it has them under."""
    by_name: dict[str, list[Difference]] = {}
    for each in sorted(check.differing, key=lambda each: each.model.lower()):
        by_name.setdefault(each.model, []).append(each)
    alike: dict[tuple[tuple[str, RateDiff], ...], list[str]] = {}
    for name, found in by_name.items():
        alike.setdefault(tuple((each.processing, each.rate) for each in found), []).append(name)
    for rates, names in alike.items():
        more = len(names) - 1
        diffs = {way: [diff for each, diff in rates if each == way] for way, _ in rates}
        lacks = {
            way: each for way, each in diffs.items() if all(diff.before is None for diff in each)
        }
        yield _Block(
            f"{names[0]} (and {more} alike)" if more else names[0],
            {way: each for way, each in diffs.items() if way not in lacks},
            [_lack(way, each) for way, each in lacks.items()],
        )


def _lack(way: str, diffs: Sequence[RateDiff]) -> str:
    theirs = ", ".join(
        f"{words(each.unit)} {_amount(each.after)}" for each in diffs if not each.above
    )
    return f"we have no {way} price; theirs: {theirs}"


def _summary(checks: Sequence[ProviderCheck]) -> Iterator[str]:
    shown = [each for each in checks if each.compared]
    counts = [
        (each.compared, each.same, each.differing_models, each.missing_models, len(each.unknown))
        for each in shown
    ]
    sums = [sum(column) for column in zip(*counts, strict=True)] if counts else [0] * 5
    rows = [(each.provider, *map(str, line)) for each, line in zip(shown, counts, strict=True)]
    heads = ("models of", "compared", "same", "differ", "we lack prices", "unknown to us")
    if len(rows) > 1:
        rows.append(("all", *map(str, sums)))
    yield from table([heads, *rows], right=range(1, 6), indent="")
    others = sum(len(each.unknown) for each in checks if not each.compared)
    unpriced = sum(each.without_price for each in checks)
    if others or unpriced:
        yield ""
        yield (
            f"Not compared: {others:,} models of providers that our book does not have, "
            f"{unpriced:,} listed at $0"
        )


def diff_lines(
    changes: Sequence[Change], title: str, unlisted: Sequence[tuple[str, str]]
) -> Iterator[str]:
    yield title
    yield ""
    if changes:
        yield from _side_by_side("", map(_change_block, changes), ("before", "after"))
    else:
        yield "No listed model's price changes."
    if unlisted:
        yield ""
        yield "No listed model has one of these names; their prices hold where they are written:"
        yield from (f"{GAP}{provider} {pattern}" for provider, pattern in unlisted)


def _change_block(change: Change) -> _Block:
    shown = _without_repeats(change.diffs)
    alike = [way for way in change.diffs if way not in shown]
    return _Block(
        f"{change.provider} {change.model}{_when(change)}",
        shown,
        [f"{', '.join(alike)}: by the same percentages"] if alike else [],
    )


def _when(change: Change) -> str:
    begin = f" from {change.from_day}" if change.from_day else ""
    until = f" until {change.until_day}" if change.until_day else ""
    hours = f", {hours_text(change.hours)} UTC" if change.hours else ""
    return f",{begin}{until}{hours}" if begin or until else hours


def _without_repeats(diffs: Diffs) -> Diffs:
    """Return the diffs without ways of processing that change as the standard price does."""
    standard = _percents(diffs.get(STANDARD, ()))
    return {
        way: each
        for way, each in diffs.items()
        if way == STANDARD or None in standard.values() or _percents(each) != standard
    }


def _percents(diffs: Sequence[RateDiff]) -> dict[tuple[str, int], str | None]:
    return {
        (each.unit, each.above): None if each.percent is None else percent(each.percent)
        for each in diffs
    }


def _side_by_side(title: str, blocks: Iterable[_Block], heads: tuple[str, str]) -> Iterator[str]:
    """Yield all blocks with their columns aligned over all of them."""
    blocks = list(blocks)
    flat = [
        (block, way, diff)
        for block in blocks
        for way, found in block.diffs.items()
        for diff in sorted(found, key=_reading_order)
    ]
    before = aligned([_amount(diff.before) for _, _, diff in flat])
    after = aligned([_amount(diff.after) for _, _, diff in flat])
    rows = [
        (way, _unit(diff), old, new, _change(diff))
        for (_, way, diff), old, new in zip(flat, before, after, strict=True)
    ]
    head, *lines = table([("", "", *heads, "change"), *rows], right=(2, 3, 4), indent=_INDENT)
    yield f"{title}{head[len(title) :]}" if rows else title
    rest = iter(lines)
    for block in blocks:
        yield f"{GAP}{block.heading}"
        for found in block.diffs.values():
            yield from (next(rest) for _ in found)
        yield from (f"{_INDENT}{remark}" for remark in block.remarks)


def _reading_order(diff: RateDiff) -> tuple[int, int]:
    return UNITS.index(diff.unit), diff.above


def _unit(diff: RateDiff) -> str:
    return f"{diff.unit} > {diff.above:,}" if diff.above else diff.unit


def _amount(usd: Decimal | None) -> str:
    return "none" if usd is None else dollars(usd)


def _change(diff: RateDiff) -> str:
    if diff.percent is None:
        return ""
    return f"{'+' if diff.percent > 0 else ''}{percent(diff.percent)} %"
