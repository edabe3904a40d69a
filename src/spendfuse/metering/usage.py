"""One LLM call's counted usage, in one shape for all providers.

A part is always contained in its whole: input contains what was read from the cache, written to
it, heard and seen; output contains reasoning. Providers differ (Anthropic reports cached tokens
beside the input, OpenAI within it); ``responses`` brings them to this shape.
"""

from __future__ import annotations

from typing import NamedTuple, Self

from spendfuse.errors import InputError

MAX_COUNT = 10**12
"""More than any one call can use: a larger count is a unit error."""
_SHOWN_CHARACTERS = 60


class UsageError(InputError):
    """Counts that can't be: negative, no integers, or parts above their whole."""


class _Counts(NamedTuple):
    input_tokens: int = 0
    """All input: fresh, cached, written to the cache, audio, images and video."""
    output_tokens: int = 0
    """All output, reasoning included."""
    cached_input_tokens: int = 0
    """Input read from the provider's prompt cache."""
    cache_write_tokens: int = 0
    """Input written to the prompt cache, whatever its lifetime."""
    cache_write_1h_tokens: int = 0
    """The part of ``cache_write_tokens`` that is kept for an hour."""
    reasoning_tokens: int = 0
    input_audio_tokens: int = 0
    output_audio_tokens: int = 0
    cached_audio_tokens: int = 0
    """Audio read from the cache: part of the cached and of the audio input."""
    input_image_tokens: int = 0
    output_image_tokens: int = 0
    cached_image_tokens: int = 0
    input_video_tokens: int = 0
    output_video_tokens: int = 0
    citation_tokens: int = 0
    """Part of the output; Perplexity bills it apart."""
    characters: int = 0
    """Where input is billed by the character (speech)."""
    audio_seconds: int = 0
    """Where audio is billed by the second (transcription); begun seconds count."""
    pages: int = 0
    annotated_pages: int = 0
    web_searches: int = 0
    file_searches: int = 0
    requests: int = 1
    """How many requests these counts stand for; some providers bill each."""


FIELDS: tuple[str, ...] = _Counts._fields
COMMON = 6
"""The first fields, which most calls have; all others are checked only when one is set."""
FIRST_NOT_TOKENS = FIELDS.index("characters")
_RARE_DEFAULTS = tuple(_Counts())[COMMON:]

PARTS: dict[str, tuple[str, ...]] = {
    "input_tokens": ("input_audio_tokens", "input_image_tokens", "input_video_tokens"),
    "output_tokens": ("output_audio_tokens", "output_image_tokens", "output_video_tokens"),
    "input_audio_tokens": ("cached_audio_tokens",),
    "input_image_tokens": ("cached_image_tokens",),
    "cached_input_tokens": ("cached_audio_tokens", "cached_image_tokens"),
}
"""Which rare fields are contained in which; together they never exceed their whole."""
_ALONE = (("output_tokens", "reasoning_tokens"), ("output_tokens", "citation_tokens"))
"""Contained too, but these may overlap with their siblings (reasoning aloud is audio)."""


class Usage(_Counts):
    """What one LLM call used, as counts that can't contradict each other.

    Example:
        >>> Usage(input_tokens=2000, cached_input_tokens=1920, output_tokens=300).input_tokens
        2000

    Raises:
        UsageError: a count is negative, no integer, or above its whole; names both numbers.
    """

    __slots__ = ()

    def __new__(
        cls,
        *,
        input_tokens: int = 0,
        output_tokens: int = 0,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        reasoning_tokens: int = 0,
        input_audio_tokens: int = 0,
        output_audio_tokens: int = 0,
        cached_audio_tokens: int = 0,
        input_image_tokens: int = 0,
        output_image_tokens: int = 0,
        cached_image_tokens: int = 0,
        input_video_tokens: int = 0,
        output_video_tokens: int = 0,
        citation_tokens: int = 0,
        characters: int = 0,
        audio_seconds: int = 0,
        pages: int = 0,
        annotated_pages: int = 0,
        web_searches: int = 0,
        file_searches: int = 0,
        requests: int = 1,
    ) -> Self:
        counts = (
            input_tokens,
            output_tokens,
            cached_input_tokens,
            cache_write_tokens,
            cache_write_1h_tokens,
            reasoning_tokens,
            input_audio_tokens,
            output_audio_tokens,
            cached_audio_tokens,
            input_image_tokens,
            output_image_tokens,
            cached_image_tokens,
            input_video_tokens,
            output_video_tokens,
            citation_tokens,
            characters,
            audio_seconds,
            pages,
            annotated_pages,
            web_searches,
            file_searches,
            requests,
        )
        usage = tuple.__new__(cls, counts)
        # One expression, because this runs once a call: most calls have plain tokens only.
        if not (
            type(input_tokens) is type(output_tokens) is type(cached_input_tokens) is int
            and type(cache_write_tokens) is type(cache_write_1h_tokens) is int
            and type(reasoning_tokens) is int
            and 0 <= cache_write_1h_tokens <= cache_write_tokens
            and cached_input_tokens >= 0
            and cached_input_tokens + cache_write_tokens <= input_tokens <= MAX_COUNT
            and 0 <= reasoning_tokens <= output_tokens <= MAX_COUNT
            and counts[COMMON:] == _RARE_DEFAULTS
            and type(requests) is int
        ):
            _check(usage)
        return usage

    def __repr__(self) -> str:
        return f"Usage({', '.join(f'{name}={count}' for name, count in self.counts().items())})"

    def counts(self) -> dict[str, int]:
        """Return the counts that are not zero, by name; ``requests`` where it is not 1."""
        defaults = _Counts._field_defaults
        return {
            name: count for name, count in zip(FIELDS, self, strict=True) if count != defaults[name]
        }


def _check(usage: Usage) -> None:
    for name, count in zip(FIELDS, usage, strict=True):
        if type(count) is not int:
            raise UsageError(f"{name} must be a whole number, got {shown_value(count)}")
        if count < 0:
            raise UsageError(f"{name} must not be negative, got {shown_value(count)}")
        if count > MAX_COUNT:
            raise UsageError(f"{name} must be at most {MAX_COUNT}, got {shown_value(count)}")
    _check_cache(usage)
    _check_parts(usage)


def shown_value(value: object) -> str:
    """Return what may be said of a value in an error: numbers, and of all else what it is.

    It may be somebody's prompt, and errors are logged and recorded.
    """
    if isinstance(value, str | bytes | bytearray):
        return f"text of {len(value)} characters"
    if not isinstance(value, bool | int | float | None):
        return f"a {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return f"a number of {value.bit_length() if isinstance(value, int) else '?'} bits"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _check_cache(usage: Usage) -> None:
    cached, written = usage.cached_input_tokens, usage.cache_write_tokens
    if usage.cache_write_1h_tokens > written:
        raise _above(
            "cache_write_1h_tokens", usage.cache_write_1h_tokens, "cache_write_tokens", written
        )
    if cached + written > usage.input_tokens:
        names = "cached_input_tokens and cache_write_tokens" if written else "cached_input_tokens"
        counts = f"{cached} + {written}" if written else cached
        raise _above(names, counts, "input_tokens", usage.input_tokens)


def _check_parts(usage: Usage) -> None:
    for whole, parts in PARTS.items():
        counts = [getattr(usage, part) for part in parts]
        if sum(counts) > getattr(usage, whole):
            names = [part for part, count in zip(parts, counts, strict=True) if count]
            shown = " + ".join(str(count) for count in counts if count)
            raise _above(" and ".join(names), shown, whole, getattr(usage, whole))
    for whole, part in _ALONE:
        if getattr(usage, part) > getattr(usage, whole):
            raise _above(part, getattr(usage, part), whole, getattr(usage, whole))


def _above(parts: str, counts: object, whole: str, count: int) -> UsageError:
    return UsageError(
        f"{parts} ({counts}) can't be more than {whole} ({count}), which contains it; "
        "send the whole and its parts"
    )


NO_USAGE = Usage()
NOTHING_USED = Usage(requests=0)
"""Of a call that was refused: not even a request that would be billed."""
