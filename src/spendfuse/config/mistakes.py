"""Mistakes in the configuration, as people read them: path, value, what to write instead."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from spendfuse.config.schema import SpendfuseBlock

_URL = re.compile(r"(https?://[^/\s'\"]+)[^\s'\"]*")
_SHOWN = 60
_OF_A_KEY = "[key]"
"""What pydantic adds to the path where a key is wrong, and not its value."""
ROOT = "spendfuse"
"""What paths begin with: the block's name."""
STAGES = "stages"
"""Beside the block's own keys; taken out before the block is read."""
_SECRET_KEY = "webhook_secret"  # noqa: S105 - the key, not a secret


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing to mend in cdk.json."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def path_of(location: Sequence[str | int]) -> str:
    """Return ``spendfuse.budgets[0].limit_usd`` for a location inside the block."""
    text = ROOT
    for part in location:
        if part == _OF_A_KEY:
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text


def shown(value: object) -> str:
    """Return a value as JSON has it: cut short, and no more of a URL than its host."""
    text = _URL.sub(r"\1/...", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def mistake_of(error: ErrorDetails, model: type[BaseModel] = SpendfuseBlock) -> Mistake:
    """Return what pydantic found in a block of that model, in our words."""
    location, kind = error["loc"], error["type"]
    if kind == "extra_forbidden":
        return Mistake(path_of(location), _unknown_key(location, model))
    if kind == "missing":
        return Mistake(path_of(location), "is missing; add it")
    # What stands where a secret's name belongs may be the secret.
    got = "a text" if location[-1:] == (_SECRET_KEY,) else shown(error["input"])
    return Mistake(path_of(location), f"got {got}; {_reason(error)}")


_WANTED = {
    "string_type": 'write a text, such as "llm"',
    "int_type": "write a whole number, such as 80",
    "int_from_float": "write a whole number, such as 80",
    "finite_number": "write a whole number, such as 80",
    "bool_type": "write true or false",
    "list_type": "write a list: [...]",
    "dict_type": "write an object: {{...}}",
    "model_type": "write an object: {{...}}",
    "greater_than_equal": "write {ge} or more",
    "less_than_equal": "write {le} or less",
    "too_short": "write at least {min_length}",
    "too_long": "write {max_length} at most",
}
"""What to write, by pydantic's kind of error: its own words are about Python."""


def _reason(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"write {' or '.join(map(shown, choices))}"
    if error["type"] in _WANTED:
        return _WANTED[error["type"]].format(**context)
    if "error" in context:
        return str(context["error"])
    return error["msg"][:1].lower() + error["msg"][1:]


def _unknown_key(location: Sequence[str | int], model: type[BaseModel]) -> str:
    if tuple(location) == (STAGES,):
        return "a stage has no stages of its own; take them out"
    known = _keys_beside(location, model)
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    hint = f"did you mean {shown(near[0])}? " if near else ""
    return f"unknown key; {hint}known here: {', '.join(known)}"


def _keys_beside(location: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    """Return the keys of the object in which the location's last part stands."""
    for part in location[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = next(_models_in(model.model_fields[part].annotation), model)
    stages = [STAGES] if model is SpendfuseBlock else []
    return sorted([*model.model_fields, *stages])


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
