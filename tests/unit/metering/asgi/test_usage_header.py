"""X-LLM-Usage as routes, proxies and attackers may write it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from unit.metering.asgi.raw import CALL, body, played, sending, start

from spendfuse.metering.attribution import NOBODY
from spendfuse.metering.usage import FIELDS, Usage
from spendfuse.metering.usage_header import MAX_BYTES, read_usage_header


def read(*values):
    return read_usage_header([v if isinstance(v, bytes) else v.encode() for v in values], NOBODY)


def a_call(**values):
    return json.dumps({"model": "gpt-4o", "prompt_tokens": 7, **values})


def test_one_object_is_one_call():
    found = read(
        '{"model": "claude-opus-4-5", "provider": "anthropic", "input_tokens": 9,'
        ' "output_tokens": 2, "tier": "priority", "batch": true, "cached": true,'
        ' "latency_ms": 812.4}'
    )

    (call,) = found.reports
    assert found.refused == []
    assert (call.model, call.provider, call.tier) == ("claude-opus-4-5", "anthropic", "priority")
    assert (call.batch, call.cached, call.latency_ms) == (True, True, 812)
    assert call.usage == Usage(input_tokens=9, output_tokens=2)


@pytest.mark.parametrize(
    "values",
    [
        [f"[{CALL}, {CALL}]"],
        [CALL, CALL],
        [f"{CALL}, {CALL}"],
        [f"  [{CALL}]  ", CALL],
    ],
    ids=["a list", "two headers", "joined by a proxy", "both"],
)
def test_several_calls_may_come_as_a_list_or_as_several_headers(values):
    assert [call.model for call in read(*values).reports] == ["gpt-4o", "gpt-4o"]


def test_details_of_the_counts_are_read():
    found = read(a_call(prompt_tokens_details={"cached_tokens": 3}))

    assert found.reports[0].usage == Usage(input_tokens=7, cached_input_tokens=3)


@pytest.mark.parametrize("model", ['"model": null,', '"model": "",', ""])
def test_a_call_without_a_model_is_kept_as_unknown(model):
    assert read(f'{{{model} "prompt_tokens": 1}}').reports[0].model == "unknown"


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "null",
        "7",
        '"gpt-4o"',
        "[[]]",
        "[1]",
        "{",
        "{}{}",
        CALL + "}",
        "{'model': 'gpt-4o'}",
        '{"model": "a", "model": "b", "prompt_tokens": 1}',
        '{"prompt_tokens": NaN}',
        '{"prompt_tokens": -Infinity}',
        '{"prompt_tokens": 1e999}',
        '{"prompt_tokens": ' + "9" * 5000 + "}",
        "[" * 4000,
        "[" * 4000 + "]" * 4000,
        '{"a":' * 1500 + "1" + "}" * 1500,
        b'{"model": "caf\xe9", "prompt_tokens": 1}',
        b"\xff\xfe\x00",
        '{"model": "a\nb", "prompt_tokens": 1}',
        a_call(prompt_tokens=True),
        a_call(prompt_tokens="7"),
        a_call(prompt_tokens=-1),
        a_call(prompt_tokens=1.5),
        a_call(prompt_tokens=10**13),
        a_call(prompt_tokens=[7]),
        a_call(prompt_tokens_details={"cached_tokens": 8}),
        '{"model": "gpt-4o"}',
        '{"model": "gpt-4o", "latency_ms": 3}',
        a_call(model=7),
        a_call(model="a" * 300),
        a_call(model="a\r\nset-cookie: b"),
        a_call(model="\ud800"),
        a_call(provider=["openai"]),
        a_call(tier={}),
        a_call(batch=1),
        a_call(cached="yes"),
        a_call(latency_ms=-1),
        a_call(latency_ms=True),
        a_call(latency_ms="3"),
    ],
)
def test_what_can_not_be_read_is_refused_with_a_reason_that_quotes_nothing(value):
    found = read(value)

    assert found.reports == []
    assert len(found.refused) == 1
    assert "X-LLM-Usage" in found.refused[0]
    assert not {"gpt-4o", "caf", "set-cookie", "yes"} & set(found.refused[0].split())


def test_a_call_that_can_not_be_read_loses_no_other():
    found = read(f"[{CALL}, {a_call(prompt_tokens=-1)}, 3, {CALL}]", "{", CALL)

    assert len(found.reports) == 3
    assert len(found.refused) == 3


def test_a_header_may_have_8_kb_and_no_more():
    fitting = CALL + " " * (MAX_BYTES - len(CALL))

    assert len(read(fitting).reports) == 1
    assert read(fitting + " ").reports == []
    assert "8 KB" in read(fitting, CALL).refused[0]


def test_a_response_may_have_100_calls_and_no_more():
    call = '{"prompt_tokens":1}'

    assert len(read(f"[{','.join([call] * 100)}]").reports) == 100
    assert "100" in read(f"[{','.join([call] * 99)}]", call, call).refused[0]


SETTINGS = ("model", "provider", "tier", "batch", "cached", "latency_ms")
GROUPS = ("prompt_tokens_details", "iterations", "tokens", "server_tool_use")
NAMES = st.sampled_from([*FIELDS, *SETTINGS, *GROUPS, "prompt_tokens", "unheard_of"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
INNER = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(NAMES, SCALARS, max_size=3)
CALLS = st.dictionaries(NAMES, INNER, max_size=6) | SCALARS
JSON = CALLS | st.lists(CALLS | st.lists(CALLS, max_size=2), max_size=4)


def removed(*values):
    headers = [(b"x-first", b"1"), *((b"x-llm-usage", v) for v in values), (b"x-last", b"2")]
    server, tracker = played(sending(start(*headers), body(b"answer")))
    assert server.headers == [(b"x-first", b"1"), (b"x-last", b"2")]
    assert server.sent[-1]["body"] == b"answer"
    return tracker


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_any_bytes_are_removed_and_never_an_error(values):
    removed(*values)


@given(JSON)
def test_any_json_is_removed_and_never_an_error(value):
    tracker = removed(json.dumps(value).encode())

    calls = value if isinstance(value, list) else [value]
    assert len(tracker.calls) + len(tracker.refused) == len(calls)
    assert all(each >= 0 for call in tracker.calls for each in call.usage)
