"""Whatever a function returns may be asked for its usage: that costs nothing and raises nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import pytest

from spendfuse.metering.responses import read_response, usage_from
from spendfuse.metering.responses.fields import fields_of
from spendfuse.metering.usage import Usage, UsageError

COUNTS = {"prompt_tokens": 3, "completion_tokens": 2}


class Table:
    """As pandas has it: private fields, and a conversion of all rows."""

    def __init__(self, asked: list[str]) -> None:
        self._asked = asked

    def to_dict(self) -> dict[str, Any]:
        self._asked.append("to_dict")
        return COUNTS

    def _asdict(self) -> dict[str, Any]:
        self._asked.append("_asdict")
        return COUNTS

    @property
    def shape(self) -> Any:
        self._asked.append("shape")
        return COUNTS

    def usage(self) -> Any:
        self._asked.append("usage")
        return COUNTS


@pytest.mark.parametrize(
    "around",
    [
        lambda table: table,
        lambda table: {"meta": table},
        lambda table: {"key": 1, "response": table},
        lambda table: {"data": [table], "output": [table], "object": "response", "usage": COUNTS},
    ],
)
def test_nothing_is_converted_to_see_whether_it_is_a_response(
    around: Callable[[Table], object],
) -> None:
    asked: list[str] = []
    with suppress(UsageError):
        read_response(around(Table(asked)))

    assert asked == []


class Answer:
    """As Google's older SDK has it: everything is a property, and some of them raise."""

    def __init__(self) -> None:
        self._result = object()

    @property
    def usage_metadata(self) -> Any:
        return {"prompt_token_count": 3, "candidates_token_count": 2}

    @property
    def model_version(self) -> str:
        return "gemini-2.5-pro"

    @property
    def model(self) -> str:
        raise ValueError("no such part")

    @property
    def text(self) -> str:
        raise AssertionError("a property that is none of ours was evaluated")


class SlottedAnswer:
    __slots__ = ("model", "usage")

    def __init__(self) -> None:
        self.model = "gpt-4o"
        self.usage = COUNTS


class NamedAnswer(NamedTuple):
    model: str
    usage: dict[str, int]


class AnswerWithMore:
    def __init__(self) -> None:
        self.model = "gpt-4o"

    @property
    def usage(self) -> dict[str, int]:
        return COUNTS


@pytest.mark.parametrize(
    ("response", "model"),
    [
        (Answer(), "gemini-2.5-pro"),
        (SlottedAnswer(), "gpt-4o"),
        (NamedAnswer("gpt-4o", COUNTS), "gpt-4o"),
        (AnswerWithMore(), "gpt-4o"),
    ],
)
def test_a_response_that_tells_its_usage_by_a_property_is_read(response: Any, model: str) -> None:
    read = read_response(response)

    assert (read.model, read.usage) == (model, Usage(input_tokens=3, output_tokens=2))


class CountsWithConversion:
    def __init__(self) -> None:
        self._raw = COUNTS

    def to_dict(self) -> dict[str, int]:
        return self._raw


class CountsWithMore:
    __slots__ = ("prompt_tokens",)

    def __init__(self) -> None:
        self.prompt_tokens = 3

    @property
    def completion_tokens(self) -> int:
        return 2

    @property
    def rows(self) -> int:
        raise AssertionError("a property that is no count was evaluated")


@pytest.mark.parametrize("counts", [CountsWithConversion(), CountsWithMore()])
def test_a_usage_object_may_be_converted_and_asked_for_its_counts(counts: object) -> None:
    assert usage_from(counts) == Usage(input_tokens=3, output_tokens=2)
    assert read_response({"usage": counts}).usage == Usage(input_tokens=3, output_tokens=2)


class RaisingCounts:
    @property
    def prompt_tokens(self) -> int:
        return 3

    @property
    def completion_tokens(self) -> int:
        raise RuntimeError("Dear doctor")


class RaisingConversion:
    def to_dict(self) -> dict[str, int]:
        raise RuntimeError("Dear doctor")


class RaisingMapping(Mapping[str, Any]):
    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("Dear doctor")

    def __iter__(self) -> Iterator[str]:
        return iter(["usage", "prompt_tokens"])

    def __len__(self) -> int:
        return 2


class RaisingAnswer:
    @property
    def usage(self) -> Any:
        raise RuntimeError("Dear doctor")


class RaisingName:
    def __hash__(self) -> int:
        return hash("prompt_tokens")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("Dear doctor")


class RaisingCount:
    def __index__(self) -> int:
        raise RuntimeError("Dear doctor")


class RaisingEverything:
    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("Dear doctor")


@pytest.mark.parametrize(
    "make",
    [
        RaisingCounts,
        RaisingConversion,
        RaisingMapping,
        RaisingAnswer,
        RaisingEverything,
        lambda: {RaisingName(): 1},
        lambda: {"prompt_tokens": RaisingCount()},
        lambda: {"prompt_tokens": 1, "prompt_tokens_details": RaisingMapping()},
    ],
)
def test_what_an_object_raises_is_a_usage_error_that_does_not_repeat_it(
    make: Callable[[], object],
) -> None:
    counts = make()
    refused = []
    for read in (usage_from, read_response):
        for thing in (counts, {"usage": counts}, {"usage_metadata": counts}, {"meta": counts}):
            with pytest.raises(UsageError) as error:
                read(thing)
            refused.append(str(error.value))

    assert [each for each in refused if "doctor" in each] == []


def test_fields_of_a_response_whose_usage_raises_are_a_usage_error_too() -> None:
    with pytest.raises(UsageError, match=r"^usage can't be read: it raised RuntimeError$"):
        fields_of(RaisingAnswer())


@pytest.mark.parametrize("provider", [None, b"google", 7, object()])
def test_a_provider_that_is_no_text_tells_nothing(provider: Any) -> None:
    gemini = {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}

    assert usage_from(COUNTS, provider=provider) == Usage(input_tokens=3, output_tokens=2)
    assert usage_from(COUNTS | {"total_tokens": 5, "x": 1}, provider=provider).output_tokens == 2
    assert read_response({"usage": COUNTS}, provider=provider).provider == ""
    assert read_response(gemini, provider=provider).provider == "google"
