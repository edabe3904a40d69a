"""One rule of the preflight: what it looks at, where AWS says so, and how it finds it broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from stacks.preflight.assembly import Resource


@dataclass(frozen=True, slots=True)
class Rule:
    """Looks at each resource of some types."""

    name: str
    """As docs/preflight.md has it."""
    source: str
    """Where AWS, or who met it, says so."""
    types: tuple[str, ...]
    check: Callable[[Resource], Iterator[str]]
    """Yields what is wrong, AWS's reason and what to do, without the resource's name."""
    warns: bool = False
    """AWS takes it all the same, and it may be meant."""
