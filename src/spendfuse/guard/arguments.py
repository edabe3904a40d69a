"""What a decorated function is called with, as far as its reservation needs to know."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from spendfuse.errors import SettingsError

_NAMED = ("user", "model", "max_tokens")
"""Options for which a text may be the name of an argument."""
_KINDS_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


class Arguments:
    """The options of a reservation, told by a function's arguments.

    Args:
        function: the decorated function.
        options: for ``Guard.reserve``. One that is callable is called with those arguments of the
            function that it asks for by name; ``prompt`` names an argument, and ``user``,
            ``model`` and ``max_tokens`` may.

    Raises:
        SettingsError: an option asks for an argument that the function does not have.
    """

    def __init__(self, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
        self._name = getattr(function, "__qualname__", type(function).__name__)
        try:
            self._signature = inspect.signature(function)
        except ValueError as error:
            raise SettingsError(
                f"{function!r} does not say what its arguments are; decorate a function of yours "
                "that calls it"
            ) from error
        self._parameters = self._signature.parameters
        self._rest = next(
            (n for n, p in self._parameters.items() if p.kind is inspect.Parameter.VAR_KEYWORD),
            None,
        )
        self._fixed: dict[str, Any] = {}
        self._told: dict[str, str] = {}
        self._asked: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {}
        for name, value in options.items():
            self._take(name, value)
        limit = self._told.get("max_tokens")
        self.limit = limit if limit in self._parameters else None
        """The argument that carries ``max_tokens``, and so takes what a budget lowered it to."""

    def options(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the options for one call."""
        if not self._told and not self._asked:
            return dict(self._fixed)
        given = self._bound(args, kwargs)
        told = {option: given.get(name) for option, name in self._told.items()}
        for option, (ask, names) in self._asked.items():
            told[option] = ask(**{name: given[name] for name in names if name in given})
        return {**self._fixed, **told}

    def with_limit(
        self, max_tokens: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments, with the ``max_tokens`` that was reserved for among them."""
        if self.limit is None or max_tokens is None:
            return args, kwargs
        bound = self._signature.bind(*args, **kwargs)
        bound.arguments[self.limit] = max_tokens
        return bound.args, bound.kwargs

    def _take(self, name: str, value: Any) -> None:
        if callable(value):
            self._asked[name] = (value, self._names_asked(name, value))
        elif name == "prompt" and isinstance(value, str):
            self._told[name] = self._known(name, value)
        elif name in _NAMED and isinstance(value, str) and self._has(value):
            self._told[name] = value
        elif name == "max_tokens" and isinstance(value, str):
            self._told[name] = self._known(name, value)
        elif value is not None:
            self._fixed[name] = value

    def _names_asked(self, option: str, ask: Callable[..., Any]) -> tuple[str, ...]:
        try:
            parameters = inspect.signature(ask).parameters.values()
        except (TypeError, ValueError) as error:
            raise SettingsError(
                f"{option}: {ask!r} does not say which arguments of {self._name} it needs; "
                f"write {option}=lambda name: …"
            ) from error
        if any(each.kind not in _KINDS_BY_NAME for each in parameters):
            raise SettingsError(
                f"{option}: {ask!r} must ask for the arguments of {self._name} by their names"
            )
        wanted = [
            each.name
            for each in parameters
            if self._has(each.name) or each.default is inspect.Parameter.empty
        ]
        return tuple(self._known(option, each) for each in wanted)

    def _known(self, option: str, name: str) -> str:
        if not self._has(name) and self._rest is None:
            raise SettingsError(
                f"{option}: {self._name} has no argument {name!r}; it has "
                f"{', '.join(self._parameters) or 'none'}"
            )
        return name

    def _has(self, name: str) -> bool:
        return name in self._parameters

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        given = bound.arguments
        if self._rest is not None:
            return {**given[self._rest], **given}
        return given
