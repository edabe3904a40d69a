"""The sinks that a configuration asks for, read strictly: every mistake at once, with its path.

A spec is an object: ``{"kind": "jsonl", "folder": "usage", "max_mb": 100}``. In the environment
simple cases are written shorter: ``jsonl:usage,print``.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spendfuse.errors import InputError, SettingsError

ENVIRONMENT_NAME = "SPENDFUSE_SINKS"
_SHOWN = 60
_URL = re.compile(r"(https?://[^/\s'\"]+)[^\s'\"]*")


class Option(NamedTuple):
    """One key of a spec."""

    read: Callable[[object], Any]
    """Returns the value; raises an InputError that says what to write."""
    is_required: bool = False


class Kind(NamedTuple):
    """One kind of sink: where it is opened, and what may be said about it."""

    opener: str
    """``module:function``, imported when it is asked for: it may need a vendor's library."""
    options: Mapping[str, Option]
    extra: str | None = None
    """What to install for it: ``pip install 'spendfuse[extra]'``."""
    short: str | None = None
    """The option that the text after the colon sets, in ``kind:text``."""


class Spec(NamedTuple):
    kind: str
    values: Mapping[str, Any]
    """The options that were given; the rest are as the opener has them."""


def specs_from_text(text: str, kinds: Mapping[str, Kind]) -> list[Any]:
    """Return the specs that ``kind:value,kind`` or the JSON of a list asks for.

    Raises:
        SettingsError: neither of the two.
    """
    if text.lstrip().startswith("["):
        try:
            return list(json.loads(text))
        except ValueError as error:
            raise SettingsError(
                f"{ENVIRONMENT_NAME}: not the JSON of a list: {error}; such as "
                '[{"kind": "jsonl", "folder": "usage"}]'
            ) from error
    parts = [part.strip() for part in text.split(",")]
    return [_short_spec(part, kinds) for part in parts if part]


def _short_spec(part: str, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    name, colon, value = part.partition(":")
    if not colon:
        return {"kind": name}
    if name not in kinds:
        # Refused with all other mistakes, when the specs are read.
        return {"kind": name}
    short = kinds[name].short
    if short is None:
        raise SettingsError(f"{ENVIRONMENT_NAME}: got {shown(part)}; write {shown(name)} alone")
    return {"kind": name, short: value}


def read_specs(raw: object, kinds: Mapping[str, Kind]) -> list[Spec]:
    """Return the specs of a list.

    Raises:
        SettingsError: every mistake in it, a line each.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, (str, bytes)):
        raise SettingsError(
            f'sinks: got {shown(raw)}; write a list, such as [{{"kind": "print"}}] '
            f"(for text such as jsonl:usage,print there is sink_specs)"
        )
    mistakes: list[str] = []
    specs = [_spec(each, f"sinks[{index}]", kinds, mistakes) for index, each in enumerate(raw)]
    if mistakes:
        raise SettingsError("\n".join(mistakes))
    return [spec for spec in specs if spec is not None]


def _spec(raw: object, path: str, kinds: Mapping[str, Kind], mistakes: list[str]) -> Spec | None:
    if not isinstance(raw, Mapping):
        mistakes.append(f'{path}: got {shown(raw)}; write an object, such as {{"kind": "print"}}')
        return None
    name = raw.get("kind")
    if not isinstance(name, str) or name not in kinds:
        got = f"got {shown(name)}" if "kind" in raw else "is missing"
        mistakes.append(f"{path}.kind: {got}; {_nearest(name, kinds)}known here: {_list(kinds)}")
        return None
    values, found = _values(raw, path, kinds[name].options)
    mistakes += found
    return Spec(name, values)


def _values(
    raw: Mapping[object, object], path: str, options: Mapping[str, Option]
) -> tuple[dict[str, Any], list[str]]:
    values: dict[str, Any] = {}
    mistakes = list(_unknown(raw, path, options))
    for key, option in options.items():
        if key in raw:
            try:
                values[key] = option.read(raw[key])
            except InputError as error:
                mistakes.append(f"{path}.{key}: got {shown(raw[key])}; {error}")
        elif option.is_required:
            mistakes.append(f"{path}.{key}: is missing; add it")
    return values, mistakes


def _unknown(
    raw: Mapping[object, object], path: str, options: Mapping[str, Option]
) -> Iterator[str]:
    known = ["kind", *options]
    for key in raw:
        if key not in known:
            yield f"{path}.{key}: unknown key; {_nearest(key, known)}known here: {_list(known)}"


def _nearest(name: object, known: Mapping[str, Any] | Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {shown(near[0])}? " if near else ""


def _list(names: Mapping[str, Any] | Sequence[str]) -> str:
    return ", ".join(names)


def shown(value: object) -> str:
    """Return a value as JSON has it: cut short, and no more of a URL than its host."""
    text = _URL.sub(r"\1/...", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def text(example: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not value.strip():
            raise InputError(f"write a text, such as {shown(example)}")
        return value

    return read


def matching(pattern: str, example: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or not re.fullmatch(pattern, value):
            raise InputError(f"write a text such as {shown(example)}")
        return value

    return read


def whole_number(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"write a whole number from {low} to {high}")
        return value

    return read


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise InputError("write true or false")
    return value


def one_of(*choices: str) -> Callable[[object], str]:
    def read(value: object) -> str:
        if not isinstance(value, str) or value not in choices:
            raise InputError(f"write {' or '.join(map(shown, choices))}")
        return value

    return read


def texts(
    example: str, *, but: frozenset[str] = frozenset()
) -> Callable[[object], tuple[str, ...]]:
    """Read a list of texts, of which none stands in ``but``."""

    def read(value: object) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise InputError(f"write a list of texts, such as {example}")
        taken = sorted(but.intersection(value))
        if taken:
            raise InputError(
                f"{', '.join(map(shown, taken))} would stand there twice; leave it out"
            )
        return tuple(value)

    return read


def dimension_sets(names: Sequence[str], *, most: int) -> Callable[[object], Any]:
    """Read a list of lists of ``names``."""
    wanted: Final = f"write a list of at most {most} lists of {', '.join(map(shown, names))}"

    def read(value: object) -> tuple[tuple[str, ...], ...]:
        if not isinstance(value, list) or not 0 < len(value) <= most:
            raise InputError(wanted)
        for each in value:
            if (
                not isinstance(each, list)
                or not all(name in names for name in each)
                or len(set(each)) < len(each)
            ):
                raise InputError(f"{wanted}; a user is never a dimension")
        return tuple(tuple(each) for each in value)

    return read
