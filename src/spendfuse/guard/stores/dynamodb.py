"""The guard's counters in one DynamoDB table: for a few processes, or under ``leased``.

Each step reads what it is about, decides, and writes hold and counters in one transaction, on
the condition that the decision still holds; if not, it looks again. So a limit holds whatever
others do in between, and the figures in an answer are at most a moment old.

A pair of reserve and settle over four levels reads five items twice and writes them twice: 20
write units, 2 for the index of live holds, and 10 read units. A counter that all requests share
is in one transaction at a time, so a busy app borrows larger amounts from here: see ``leased``.

Expiry goes by the clients' clocks. A hold is let go of a minute after its end, so that a clock
that is ahead by less frees nothing that somebody still uses.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from spendfuse.clock import utc_now
from spendfuse.errors import SettingsError
from spendfuse.guard.repeats import check_again
from spendfuse.guard.step import (
    Granted,
    Hold,
    Level,
    Refused,
    Reserve,
    Settle,
    Settled,
    Standing,
    Unseeded,
    admitted,
    is_short,
)
from spendfuse.guard.store import CALLED_IN_SECONDS
from spendfuse.guard.stores.dynamodb_items import (
    Item,
    Seen,
    State,
    StoredHold,
    addition,
    charge,
    counter_pk,
    hold_pk,
    hold_put,
    milliseconds,
    new_hold,
    number,
    seeded_counter,
    standing,
    stored_hold,
)
from spendfuse.guard.stores.dynamodb_table import ATTEMPTS, GuardTable

CLOCK_MARGIN_SECONDS = 60.0
MOST_LET_GO = 100
"""Expired holds that one step lets go of, about: the rest waits for the next one."""


class DynamoStore:
    """A ``Store`` in DynamoDB; threads may share it, and its client.

    Args:
        client: boto3's for ``dynamodb``. Requests wait for it, so give it short timeouts:
            ``Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})``.
        table: the stacks export it as ``<deployment>:GuardTableName``. It has keys ``pk`` and
            ``sk``, the time to live ``expires_at`` and the index ``Held``.
        deployment: several may share a table; their counters are apart.
        now: the time, aware.
        sleep: waits before another try.
        clock_margin_seconds: how far the clients' clocks may be apart.
    """

    is_local = False
    takes_rates = False

    def __init__(
        self,
        client: Any,
        table: str,
        *,
        deployment: str,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        clock_margin_seconds: float = CLOCK_MARGIN_SECONDS,
    ) -> None:
        self._table = GuardTable(client, table, sleep)
        self._deployment = deployment
        self._now = now
        self._margin = clock_margin_seconds

    def reserve(self, step: Reserve) -> Granted | Refused | Unseeded:
        if step.rates:
            rates = ", ".join(each.rate for each in step.rates)
            raise SettingsError(
                f"DynamoDB keeps no rates ({rates}); take Valkey for them, or leave them out"
            )
        names = [each.counter for each in step.levels]
        attempt, ended = 0, set[str]()
        while attempt < ATTEMPTS:
            seen = self._look_at(step.id, names)
            if seen.hold is not None:
                known = seen.hold
                check_again(step, state=known.state, asked=known.asked, counters=known.counters)
                again = Hold(step.id, known.granted, known.levels)
                return Granted(again, seen.standings(names), is_again=True)
            missing = seen.missing(names)
            if missing and step.seeds is None:
                return Unseeded(missing)
            if missing:
                self._seed(step.levels, missing, step.seeds)
                attempt += 1
                continue
            standings = seen.standings(names)
            grant = admitted(step.nano_usd, step.least_nano_usd, step.levels, standings)
            if grant is None:
                if self._let_go_of_expired(ended):
                    continue
                self._call_in(step, standings)
                return Refused(standings)
            hold = new_hold(step, grant, seen.at, turn=seen.turn)
            additions = self._additions(step.levels, used=grant, is_limited=True)
            if self._table.write([self._put(step.id, hold), *additions], attempt):
                granted = Hold(step.id, grant, step.levels)
                return Granted(granted, seen.standings(names, used=grant))
            attempt += 1
        raise self._table.contended()

    def settle(self, step: Settle) -> Settled | Unseeded:
        names = [each.counter for each in step.hold.levels]
        for attempt in range(ATTEMPTS):
            seen = self._look_at(step.hold.id, names)
            change = charge(step, seen.hold, seen.at, turn=seen.turn)
            if change is None:
                return Settled("again")
            missing = seen.missing(names)
            if missing and step.seeds is None:
                return Unseeded(missing)
            if missing:
                self._seed(step.hold.levels, missing, step.seeds)
                continue
            used, spent = change.used, step.nano_usd
            additions = self._additions(step.hold.levels, used=used, spent=spent)
            if self._table.write([self._put(step.hold.id, change.hold), *additions], attempt):
                standings = seen.standings(names, used=used, spent=spent)
                return Settled("late" if change.is_late else "settled", standings)
        raise self._table.contended()

    def release(self, hold: Hold) -> bool:
        known = self._look_at(hold.id, ()).hold
        return known is not None and self._end(
            hold_pk(self._deployment, hold.id), known, "released"
        )

    def find(self, hold_id: str) -> Hold | None:
        known = self._hold(hold_pk(self._deployment, hold_id))
        if known is None or not known.is_known(self._seconds()):
            return None
        return Hold(hold_id, known.granted, known.levels)

    def look(self, counters: Sequence[str]) -> list[Standing | None]:
        ended = set[str]()
        while self._let_go_of_expired(ended):
            continue
        found, at = self._counters(counters), self._seconds()
        return [standing(found[each], at) if each in found else None for each in counters]

    def close(self) -> None:
        """Nothing to give back: the client is the caller's."""

    def _look_at(self, hold_id: str, names: Sequence[str]) -> Seen:
        """Read a hold and counters; a hold whose time is over is let go of before."""
        pk = hold_pk(self._deployment, hold_id)
        names_by_pk = {counter_pk(self._deployment, each): each for each in names}
        items = self._table.items([pk, *names_by_pk])
        at = self._seconds()
        item = items.pop(pk, None)
        hold = stored_hold(item) if item else None
        if hold is not None and self._is_over(hold, at):
            self._end(pk, hold, "expired")
            return self._look_at(hold_id, names)
        is_known = hold is not None and hold.is_known(at)
        return Seen(
            hold if is_known else None,
            hold.turn if hold is not None else 0,
            {names_by_pk[each]: found for each, found in items.items()},
            at,
        )

    def _let_go_of_expired(self, ended: set[str]) -> bool:
        """Let go of some holds whose time is over, the oldest first.

        ``ended`` has those of the same step before. Returns whether there were others: then there
        may be room now, whoever let go of them.
        """
        if len(ended) >= MOST_LET_GO:
            return False
        until = milliseconds(self._seconds() - self._margin)
        pks = set(self._table.held_until(self._deployment, until)) - ended
        for pk, item in self._table.items(sorted(pks)).items():
            self._end(pk, stored_hold(item), "expired")
        ended |= pks
        return bool(pks)

    def _end(self, pk: str, hold: StoredHold, state: State) -> bool:
        """Let go of a hold; False where another did, settled it, or prolonged it meanwhile."""
        known: StoredHold | None = hold
        for attempt in range(ATTEMPTS):
            at = self._seconds()
            if known is None or known.state != "held":
                return False
            if state == "expired" and not self._is_over(known, at):
                return False
            # A counter may be gone, its period long over: then nothing is held there.
            there = self._counters([each.counter for each in known.levels])
            levels = [each for each in known.levels if each.counter in there]
            put = hold_put(self._table.name, self._deployment, pk, known.ended(state, at))
            if self._table.write([put, *self._additions(levels, used=-known.held)], attempt):
                return True
            known = self._hold(pk)
        raise self._table.contended()

    def _additions(
        self, levels: Sequence[Level], *, used: int, spent: int = 0, is_limited: bool = False
    ) -> list[dict[str, Any]]:
        """Return a transaction's changes of the counters: none where nothing changes."""
        if not used and not spent:
            return []
        return [
            addition(
                self._table.name,
                counter_pk(self._deployment, each.counter),
                used=used,
                spent=spent,
                most=each.limit_nano_usd - used if is_limited and each.mode != "observe" else None,
            )
            for each in levels
        ]

    def _seed(
        self, levels: Sequence[Level], missing: Sequence[str], seeds: Mapping[str, int] | None
    ) -> None:
        for level in levels:
            if level.counter in missing:
                pk = counter_pk(self._deployment, level.counter)
                spent = (seeds or {}).get(level.counter, 0)
                self._table.put_if_absent(seeded_counter(pk, level, spent))

    def _call_in(self, step: Reserve, standings: Sequence[Standing]) -> None:
        if not step.calls_in:
            return
        until = number(milliseconds(self._seconds() + CALLED_IN_SECONDS))
        for level, each in zip(step.levels, standings, strict=True):
            # A mark that is there is not written anew: refusals come in crowds, and each write
            # is in the way of a transaction.
            if each.is_called_in or level.mode == "observe":
                continue
            if is_short(level, each, step.nano_usd):
                pk = counter_pk(self._deployment, level.counter)
                self._table.update_if_there(pk, "called_in_until", until)

    def _put(self, hold_id: str, hold: StoredHold) -> dict[str, Any]:
        return hold_put(
            self._table.name, self._deployment, hold_pk(self._deployment, hold_id), hold
        )

    def _hold(self, pk: str) -> StoredHold | None:
        item = self._table.items([pk]).get(pk)
        return stored_hold(item) if item else None

    def _counters(self, names: Sequence[str]) -> dict[str, Item]:
        names_by_pk = {counter_pk(self._deployment, each): each for each in names}
        return {names_by_pk[pk]: item for pk, item in self._table.items(list(names_by_pk)).items()}

    def _is_over(self, hold: StoredHold, at: float) -> bool:
        return hold.state == "held" and at >= hold.until + self._margin

    def _seconds(self) -> float:
        return self._now().timestamp()
