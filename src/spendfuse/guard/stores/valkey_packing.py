"""The steps of ``ValkeyStore``, packed as the server reads them.

A step is one script with all its keys declared, and every key of a deployment has the same hash
tag, so that a cluster keeps them together. What depends only on the levels is packed once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Literal, NamedTuple

from spendfuse.errors import InputError, SettingsError
from spendfuse.guard.step import Hold, Level, RateLevel, Reserve, Settle
from spendfuse.guard.store import CALLED_IN_SECONDS, LATE_SECONDS, REMEMBERED_SECONDS
from spendfuse.guard.stores.windows import BUCKET_SECONDS, BUCKETS
from spendfuse.money import display_usd

MOST_NANO_USD = 9_000_000 * 10**9
"""The highest limit and amount: numbers in the server's scripts are exact up to 2^53."""
_KEPT_SECONDS = 40 * 86_400
"""How long a counter is kept after its period."""
_WIDTHS = 64
"""A hold may last this part of its time longer; so few moments have an end of holds."""
_MAX_PACKED = 4_096

Step = Literal["reserve", "settle", "release", "look"]


class Command(NamedTuple):
    """One step: which script, how many arguments (their number of keys first), packed."""

    step: Step
    size: int
    packed: bytes


class Script(NamedTuple):
    text: bytes
    digest: bytes

    def by_digest(self, command: Command) -> bytes:
        """Return the call of a script that the server knows."""
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % (command.size + 2, self.digest)
        return head + command.packed

    def whole(self, command: Command) -> bytes:
        """Return the call with the script's text, which the server then knows."""
        return b"*%d\r\n$4\r\nEVAL\r\n" % (command.size + 2) + _bulk(self.text) + command.packed


def read_scripts() -> Mapping[Step, Script]:
    """Read the scripts, which lie in a folder beside this file."""
    folder = resources.files("spendfuse.guard.stores") / "scripts"
    begin = (
        f"local late_ms, remembered_ms = {_ms(LATE_SECONDS)}, {_ms(REMEMBERED_SECONDS)}\n"
        f"local called_in_ms = {_ms(CALLED_IN_SECONDS)}\n"
        f"local bucket_ms, buckets = {_ms(BUCKET_SECONDS)}, {BUCKETS}\n"
    ) + (folder / "counters.lua").read_text(encoding="utf-8")
    scripts: dict[Step, Script] = {}
    steps: tuple[Step, ...] = ("reserve", "settle", "release", "look")
    for each in steps:
        text = (begin + (folder / f"{each}.lua").read_text(encoding="utf-8")).encode()
        digest = hashlib.sha1(text, usedforsecurity=False).hexdigest().encode()
        scripts[each] = Script(text, digest)
    return scripts


def arguments(packed: bytes) -> list[bytes]:
    """Unpack a call, for a client that packs by itself."""
    found = []
    at = packed.index(b"\r\n") + 2
    while at < len(packed):
        begin = packed.index(b"\r\n", at) + 2
        end = begin + int(packed[at + 1 : begin - 2])
        found.append(packed[begin:end])
        at = end + 2
    return found


class Packing:
    """Packs the steps of one deployment."""

    def __init__(self, deployment: str) -> None:
        if not deployment or "{" in deployment or "}" in deployment:
            raise SettingsError(
                f"the deployment {deployment!r} is part of every key in the guard's store: "
                "give it a name, one without braces"
            )
        self._prefix = b"spendfuse:{%b}:" % _bytes(deployment)
        self._packed: dict[tuple[int, int], _Packed] = {}
        self._times: dict[float, bytes] = {}

    def reserve(self, step: Reserve) -> Command:
        packed = self._of(step.levels, step.rates)
        seeds = _seeds(packed, step.seeds)
        return Command(
            "reserve",
            packed.count + 7 + len(seeds),
            self._keys(step.id, packed)
            + _bulk(_amount(step.nano_usd))
            + _bulk(_amount(step.least_nano_usd))
            + self._time(step.hold_seconds)
            + (_NO if step.seeds is None else _YES)
            + (_YES if step.calls_in else _NO)
            + packed.arguments
            + b"".join(seeds),
        )

    def settle(self, step: Settle) -> Command:
        hold, keep = step.hold, step.keep_nano_usd
        packed = self._of(hold.levels, hold.rates)
        seeds = _seeds(packed, step.seeds)
        return Command(
            "settle",
            packed.count + 7 + len(seeds),
            self._keys(hold.id, packed)
            + _bulk(_amount(step.nano_usd))
            + _bulk(_amount(hold.nano_usd))
            + self._time(step.hold_seconds)
            + (_NO if step.seeds is None else _YES)
            + _bulk(b"" if keep is None else b"%b %d" % (_amount(keep), step.part))
            + packed.arguments
            + b"".join(seeds),
        )

    def release(self, hold: Hold) -> Command:
        packed = self._of(hold.levels, hold.rates)
        levels = _bulk(b"%d" % len(hold.levels))
        return Command("release", packed.keys_count + 2, self._keys(hold.id, packed) + levels)

    def look(self, counters: Sequence[str]) -> Command:
        keys = [_bulk(self._prefix + b"c:" + _bytes(each)) for each in counters]
        return Command("look", len(keys) + 1, b"".join([_bulk(b"%d" % len(keys)), *keys]))

    def find(self, hold_id: str) -> bytes:
        """Return the call that reads what is remembered of an id."""
        return b"*2\r\n$3\r\nGET\r\n" + self._record(hold_id)

    def _keys(self, hold_id: str, packed: _Packed) -> bytes:
        return packed.keys_begin + self._record(hold_id) + packed.keys

    def _record(self, hold_id: str) -> bytes:
        return _bulk(self._prefix + b"id:" + _bytes(hold_id))

    def _of(self, levels: tuple[Level, ...], rates: tuple[RateLevel, ...]) -> _Packed:
        # By identity, which lasts as long as the packed one keeps them: the guard has the same
        # tuples for the same attributes, and hashing four levels takes longer than all the rest.
        packed = self._packed.get((id(levels), id(rates)))
        if packed is None:
            packed = _Packed(self._prefix, levels, rates)
            if len(self._packed) >= _MAX_PACKED:
                self._packed.clear()
            self._packed[id(levels), id(rates)] = packed
        return packed

    def _time(self, hold_seconds: float) -> bytes:
        """Return a hold's time, and the width that its end is rounded up to."""
        packed = self._times.get(hold_seconds)
        if packed is None:
            if len(self._times) >= _MAX_PACKED:
                self._times.clear()
            ms = _ms(hold_seconds)
            width = 1 << max((ms // _WIDTHS).bit_length() - 1, 0)
            packed = self._times[hold_seconds] = _bulk(b"%d" % ms) + _bulk(b"%d" % width)
        return packed


class _Packed:
    """What all steps with the same levels and rates have in common."""

    __slots__ = ("arguments", "count", "keys", "keys_begin", "keys_count", "levels", "rates")

    def __init__(
        self, prefix: bytes, levels: tuple[Level, ...], rates: tuple[RateLevel, ...]
    ) -> None:
        for level in levels:
            _check_limit(f"budget {level.budget!r}", level.limit_nano_usd)
        for rate in rates:
            _check_limit(f"rate {rate.rate!r}", rate.nano_usd_per_minute)
        self.levels, self.rates = levels, rates
        keys = [prefix + b"c:" + _bytes(each.counter) for each in levels]
        keys += [prefix + b"r:" + _bytes(each.counter) for each in rates]
        arguments = [
            b"%d" % len(levels),
            json.dumps([levels, rates], separators=(",", ":")).encode(),
        ]
        for level in levels:
            forgotten_at = (level.ends_at + _KEPT_SECONDS) * 1000 if level.ends_at else 0
            arguments += [b"%d" % level.limit_nano_usd, level.mode.encode(), b"%d" % forgotten_at]
        arguments += [b"%d" % each.nano_usd_per_minute for each in rates]
        self.keys_count = len(keys) + 1
        self.keys_begin = _bulk(b"%d" % self.keys_count)
        self.keys = b"".join(map(_bulk, keys))
        self.arguments = b"".join(map(_bulk, arguments))
        self.count = self.keys_count + len(arguments)


def _bulk(value: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(value), value)


_YES = _bulk(b"1")
_NO = _bulk(b"0")


def _bytes(text: str) -> bytes:
    # Any text is a legal id, lone surrogates too.
    return text.encode("utf-8", "surrogatepass")


def _ms(seconds: float) -> int:
    return max(round(seconds * 1000), 1)


def _amount(nano_usd: int) -> bytes:
    if not 0 <= nano_usd <= MOST_NANO_USD:
        raise InputError(
            f"an amount must lie between $0 and {display_usd(MOST_NANO_USD)}, which is what this "
            f"store counts exactly; got {nano_usd} nano-dollars"
        )
    return b"%d" % nano_usd


def _check_limit(whose: str, limit_nano_usd: int) -> None:
    if limit_nano_usd > MOST_NANO_USD:
        raise SettingsError(
            f"{whose}: its limit is {display_usd(limit_nano_usd)}, and the Valkey store counts "
            f"exactly up to {display_usd(MOST_NANO_USD)}: lower it, or use another store"
        )


def _seeds(packed: _Packed, seeds: Mapping[str, int] | None) -> list[bytes]:
    if not seeds:
        return []
    return [_bulk(b"%d" % max(seeds.get(each.counter, 0), 0)) for each in packed.levels]
