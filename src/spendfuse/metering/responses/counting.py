"""From counts under anybody's names to a ``Usage``."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from spendfuse.metering.responses.conventions import is_google, settle
from spendfuse.metering.responses.fields import counts_of, text_of, unreadable
from spendfuse.metering.responses.names import KNOWN, NAMES, TOTAL, Entry, Group, Names
from spendfuse.metering.usage import COMMON, FIELDS, MAX_COUNT, Usage, UsageError, shown_value

# Dicts of these alone, which is what most callers have by hand, need no table.
_PLAIN_CHAT = frozenset(("prompt_tokens", "completion_tokens", "total_tokens"))
_PLAIN_CHAT_OF_GOOGLE = _PLAIN_CHAT - {"total_tokens"}
_PLAIN_OWN = frozenset(FIELDS[:COMMON])
_ITEM_COUNTS = ("tokenCount", "token_count", "inputTokens")
_ITEM_LABELS = ("modality", "ttl", "type")
_ITEM_NAMES = (*_ITEM_LABELS, *_ITEM_COUNTS)
_SHOWN_NAMES = 12
_SHOWN_CHARACTERS = 60
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,40}")
"""What looks like a field's name, and not like somebody's text that became a key."""


def usage_from(counts: object, *, provider: str = "", strict: bool = False) -> Usage:
    """Return the usage that ``counts`` tells of, under whatever usual names it has them.

    What contains what, by the names alone:

    * ``prompt_tokens`` and Gemini's ``promptTokenCount`` contain what was cached, read or written.
    * ``input_tokens`` contains it too (OpenAI's, and our own with ``cached_input_tokens``), except
      beside cache counts with Anthropic's or Bedrock's names (``cache_read_input_tokens``,
      ``cache_creation_input_tokens``, ``cacheReadInputTokens``, …) and no others: these are added
      to it. Inside ``input_tokens_details`` the same names are parts.
    * Output contains reasoning, except Gemini's thoughts; Perplexity's reasoning and citations;
      reasoning that the total counts apart (xAI); and, from Google's chat endpoint, all that the
      total has above prompt and completion.
    * Where input or output is not given at all, it is what the total has above the other.
    * Of a count that is given under two names the larger holds.

    None is no count. Unknown names are passed over, for providers add some every month, but not
    all of them: counts in which nothing is known are an error, never a silent zero.

    Args:
        counts: a mapping, or an SDK's usage object; a ``Usage`` comes back as it is.
        provider: who sent it, where the names alone don't tell (xAI without a total, Google);
            what is no text tells nothing.
        strict: refuse unknown names, and show in errors what was given, for what a person typed.

    Raises:
        UsageError: a count is negative, no whole number (12.0 is one; True, "12" and NaN are
            none) or above its whole, or nothing is known, or (strict) a name is unknown; or the
            object raised while it was read. Nothing else is raised.

    Example:
        >>> usage_from({"prompt_tokens": 10, "completion_tokens": 5}).output_tokens
        5
    """
    # Nothing that strict could refuse is plain.
    if type(counts) is dict and counts:
        try:
            # A total tells nothing beside these two, except of Google's.
            plain = (
                _PLAIN_CHAT_OF_GOOGLE if provider and is_google(text_of(provider)) else _PLAIN_CHAT
            )
            if counts.keys() <= plain and "completion_tokens" in counts:
                return Usage(
                    input_tokens=counts["prompt_tokens"],
                    output_tokens=counts["completion_tokens"],
                )
            if counts.keys() <= _PLAIN_OWN:
                return Usage(**counts)
        except Exception:  # noqa: BLE001, S110 (what it is, is found out below)
            pass  # None, 12.0, or an error that is to name the caller's field
    try:
        if isinstance(counts, Usage):
            return counts
        return _usage_from_any(counts, provider=text_of(provider).lower(), strict=strict)
    except UsageError:
        raise
    except Exception as error:
        raise unreadable("the usage", error) from error


def _usage_from_any(counts: object, *, provider: str, strict: bool) -> Usage:
    given = counts_of(counts, NAMES)
    if not given:
        raise UsageError(
            f"usage must be a mapping of counts or an object that has some, got {_kind(counts)}"
        )
    if strict:
        _check_strictly(given, NAMES)
    found: dict[str, int] = {}
    added: dict[str, int] = {}
    _collect(given, NAMES, found, added)
    for slot, count in added.items():
        found[slot] = found.get(slot, 0) + count
    if not found or found.keys() == {TOTAL}:
        raise _nothing_known(given, found)
    settle(found, given, provider)
    return Usage(**found)


def _collect(
    counts: Mapping[str, Any],
    names: Names,
    found: dict[str, int],
    added: dict[str, int],
    inside: str = "",
) -> None:
    """Put each known count into its slot; what lists hold into ``added``, where it adds up."""
    for name, value in counts.items():
        slot = names.get(name)
        if not slot or value is None:
            continue
        if isinstance(slot, Group):
            _collect_group(slot, value, found, added, f"{inside}{name}")
            continue
        # The common count is checked here: this loop runs once a call.
        count = value
        if type(value) is not int or not 0 <= value <= MAX_COUNT:
            count = _counted(f"{inside}{name}", value, slot)
        if count > found.get(slot, -1):
            found[slot] = count


def _collect_group(
    group: Group, value: Any, found: dict[str, int], added: dict[str, int], name: str
) -> None:
    if isinstance(value, list | tuple) and not hasattr(value, "_asdict"):
        for item in value:
            _collect_item(group, counts_of(item, _ITEM_NAMES), added, name)
        return
    counts = counts_of(value, group.names)
    if not counts and not isinstance(value, Mapping):
        raise UsageError(f"{name} must be an object with counts, got {shown_value(value)}")
    _collect(counts, group.names, found, added, f"{name}.")


def _collect_item(group: Group, item: Mapping[str, Any], added: dict[str, int], name: str) -> None:
    label = item.get("modality", item.get("ttl", item.get("type")))
    entry = group.labels.get(str(label) if type(label) is int else text_of(label), KNOWN)
    if isinstance(entry, Group):
        own: dict[str, int] = {}
        _collect(item, entry.names, own, own, f"{name}.")
    else:
        counts = (item.get(each) for each in _ITEM_COUNTS)
        count = next((each for each in counts if each is not None), 0)
        own = {entry: _counted(name, count, entry)} if entry else {}
    for slot, count in own.items():
        added[slot] = added.get(slot, 0) + count


def _counted(
    name: str, value: Any, slot: str, *, shown: Callable[[object], str] = shown_value
) -> int:
    count: Any = value
    if isinstance(value, float) and math.isfinite(value):
        # Begun seconds count; a JSON parser may write any whole number as 12.0.
        is_seconds = slot == "audio_seconds" and value >= 0
        count = math.ceil(value) if is_seconds or value.is_integer() else value
    elif not isinstance(value, bool) and hasattr(value, "__index__"):
        count = int(operator.index(value))
    if type(count) is not int:
        raise UsageError(f"{name} must be a whole number, got {shown(value)}")
    if count < 0:
        raise UsageError(f"{name} must not be negative, got {shown_value(count)}")
    if count > MAX_COUNT:
        raise UsageError(f"{name} must be at most {MAX_COUNT}, got {shown_value(count)}")
    return count


def _nothing_known(given: Mapping[str, Any], found: Mapping[str, int]) -> UsageError:
    if found:
        return UsageError(
            "total_tokens alone doesn't tell input from output, which cost differently; send "
            "prompt_tokens and completion_tokens"
        )
    return UsageError(
        f"usage has no count that we know, it has: {shown_names(given)}; send input_tokens and "
        "output_tokens, or prompt_tokens and completion_tokens"
    )


def _check_strictly(counts: Mapping[str, Any], names: Names, inside: str = "") -> None:
    for name, value in counts.items():
        entry: Entry | None = names.get(name)
        if entry is None:
            near = get_close_matches(str(name), names, n=1, cutoff=0.5)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise UsageError(f"unknown count {inside}{str(name)[:_SHOWN_CHARACTERS]}{hint}")
        if isinstance(entry, Group):
            _check_strictly(counts_of(value, entry.names), entry.names, f"{inside}{name}.")
        elif entry and value is not None:
            _counted(f"{inside}{name}", value, entry, shown=_literal)


def shown_names(names: Iterable[object]) -> str:
    """Return the names as one line of bounded length; of those that may be texts, the number."""
    given = list(names)
    shown = sorted(name for name in given if isinstance(name, str) and _NAME.fullmatch(name))
    others = len(given) - len(shown)
    listed = shown[:_SHOWN_NAMES]
    if len(shown) > _SHOWN_NAMES:
        listed.append("…")
    if others:
        listed.append(f"{others} that can't be shown")
    return ", ".join(listed)


def _literal(value: object) -> str:
    """Return a text as it is: who typed it is the one who reads the error."""
    return repr(value[:_SHOWN_CHARACTERS]) if isinstance(value, str) else shown_value(value)


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    return f"an empty {type(value).__name__}" if value == {} else type(value).__name__
