"""Usages that can't contradict themselves, drawn part by part."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from spendfuse.metering.usage import Usage

COUNTS = st.integers(0, 3_000_000)


@st.composite
def usages(draw: st.DrawFn, counts: st.SearchStrategy[int] = COUNTS) -> Usage:
    """Draw fresh, cached and written input and spoken and seen parts, and output with thoughts."""
    part = {name: draw(counts) for name in ("fresh", "cached", "written", "kept", "out")}
    heard, reheard, spoken = draw(counts), draw(counts), draw(counts)
    seen, drawn = draw(counts), draw(counts)
    output = part["out"] + spoken + drawn
    return Usage(
        input_tokens=sum(
            [part["fresh"], part["cached"], part["written"], part["kept"], heard, reheard, seen]
        ),
        cached_input_tokens=part["cached"] + reheard,
        cache_write_tokens=part["written"] + part["kept"],
        cache_write_1h_tokens=part["kept"],
        input_audio_tokens=heard + reheard,
        cached_audio_tokens=reheard,
        input_image_tokens=seen,
        output_tokens=output,
        output_audio_tokens=spoken,
        output_image_tokens=drawn,
        reasoning_tokens=draw(st.integers(0, output)),
    )


@st.composite
def plain_usages(draw: st.DrawFn, counts: st.SearchStrategy[int] = COUNTS) -> Usage:
    """Draw what models of text have: fresh, cached and written input, and output."""
    fresh, cached, written, kept, output = (draw(counts) for _ in range(5))
    return Usage(
        input_tokens=fresh + cached + written + kept,
        cached_input_tokens=cached,
        cache_write_tokens=written + kept,
        cache_write_1h_tokens=kept,
        output_tokens=output,
    )


def added(left: Usage, right: Usage) -> Usage:
    pairs = zip(left._fields, left, right, strict=True)
    return Usage(**{name: one + other for name, one, other in pairs})


def more(usage: Usage, **counts: int) -> Usage:
    """Return a usage with more in it; a part's whole grows by as much."""
    wanted: dict[str, Any] = usage._asdict()
    for name, count in counts.items():
        wanted[name] += count
    return Usage(**wanted)
