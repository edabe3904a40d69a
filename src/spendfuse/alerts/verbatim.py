"""Text that nobody vouches for, made fit to be shown: nothing in it is lost in silence."""

from __future__ import annotations

import json
import re

_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def printable(text: str) -> str:
    """Return ``text`` with plain line ends, and control characters as U+FFFD."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c if c.isprintable() or c in "\n\t\u00a0" else "\ufffd" for c in lines)


def one_line(text: str) -> str:
    """Return ``text`` as one printable line."""
    return " ".join(printable(text).split())


def cut(text: str, limit: int) -> str:
    """Return ``text`` in at most ``limit`` characters, ending in … where some are missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def readable(text: str) -> str:
    """Return ``text`` for reading; JSON on one line gets line breaks, and no other change."""
    text = printable(text.strip())
    if "\n" in text or not _is_json_container(text):
        return text
    return _indented(text)


def _is_json_container(text: str) -> bool:
    try:
        return isinstance(json.loads(text), (dict, list))
    except (ValueError, RecursionError):
        return False


def _indented(text: str) -> str:
    """Break lines between JSON tokens; the tokens, numbers too, stay as they were written."""
    depth = 0
    parts = []
    for part in _JSON_TOKEN.findall(text):
        if part in "}]":
            depth -= 1
            parts.append(_line_break(depth))
        parts.append(part)
        depth += part in "{["
        if part in "{[,":
            parts.append(_line_break(depth))
        if part == ":":
            parts.append(" ")
    return "".join(parts)


def _line_break(depth: int) -> str:
    # Bounded, or a thousand brackets make megabytes of spaces.
    return "\n" + " " * min(depth, 20)
