from __future__ import annotations

import gc
import json
import threading
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.eventstream import EventStream
from botocore.exceptions import (
    ClientError,
    EventStreamError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.response import StreamingBody
from unit.metering.integrations.anthropic_samples import events, message
from unit.metering.integrations.provider_stand_in import (
    HANG_UP,
    Answer,
    ProviderStandIn,
    event_stream_answer,
    frame,
    json_answer,
    provider_stand_in,
)
from unit.metering.integrations.recording import Recording

from spendfuse.errors import InputError
from spendfuse.metering.attribution import attributed
from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.bedrock import metered
from spendfuse.metering.usage import NOTHING_USED, Usage

NOVA = "eu.amazon.nova-lite-v1:0"
CLAUDE = "eu.anthropic.claude-haiku-4-5-20251001-v1:0"
ASKED: Any = {
    "modelId": NOVA,
    "messages": [{"role": "user", "content": [{"text": "What is a fuse?"}]}],
}
COUNTS = {
    "inputTokens": 30,
    "outputTokens": 20,
    "totalTokens": 120,
    "cacheReadInputTokens": 50,
    "cacheWriteInputTokens": 20,
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "It melts."}]}},
    "stopReason": "end_turn",
    "usage": COUNTS,
    "metrics": {"latencyMs": 9},
}
USAGE = Usage(input_tokens=100, output_tokens=20, cached_input_tokens=50, cache_write_tokens=20)
HEADERS = {
    "X_Amzn_Bedrock_Input_Token_Count": "30",
    "X_Amzn_Bedrock_Output_Token_Count": "20",
    "X_Amzn_Bedrock_Cache_Read_Input_Token_Count": "50",
    "X_Amzn_Bedrock_Cache_Write_Input_Token_Count": "20",
}


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        yield stand_in


@pytest.fixture
def tracker() -> Recording:
    return Recording()


def a_client(provider: ProviderStandIn, service: str = "bedrock-runtime") -> Any:
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=provider.base,
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=5),
    )


@pytest.fixture
def bare(provider: ProviderStandIn) -> Any:
    return a_client(provider)


@pytest.fixture
def client(bare: Any, tracker: Recording) -> Any:
    return metered(bare, tracker, feature="search")


def text(words: str) -> bytes:
    return frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": words}})


START = frame("messageStart", {"role": "assistant"})
END = (
    frame("contentBlockStop", {"contentBlockIndex": 0}),
    frame("messageStop", {"stopReason": "end_turn"}),
    frame("metadata", {"usage": COUNTS, "metrics": {"latencyMs": 9}}),
)


def chunk(event: dict[str, Any]) -> bytes:
    return frame("chunk", {"bytes": b64encode(json.dumps(event).encode()).decode()})


def is_estimated(tracker: Recording) -> bool:
    return tracker.call.attribution.fields.get("estimated") is True


def test_converse_is_tracked_by_the_id_that_names_the_region(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(CONVERSE))

    with attributed(team="ads"):
        answer = client.converse(**ASKED)

    call = tracker.call
    assert answer["output"]["message"]["content"][0]["text"] == "It melts."
    assert (call.provider, call.model, call.usage) == ("aws", NOVA, USAGE)
    assert call.attribution.attributes == {"team": "ads", "feature": "search"}
    assert not tracker.refused


def test_the_metered_client_is_of_the_clients_class_and_the_client_stays_as_it_was(
    bare: Any, client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(CONVERSE))
    bare.converse(**ASKED)

    assert type(client) is type(bare)
    assert client.meta is bare.meta
    assert client.exceptions.ThrottlingException
    assert not tracker.calls


def test_a_client_metered_twice_counts_once_for_its_later_meter(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    later = Recording()
    provider.script.append(json_answer(CONVERSE))
    metered(client, later).converse(**ASKED)

    assert not tracker.calls
    assert later.call.usage == USAGE


def test_another_services_client_is_refused(provider: ProviderStandIn, tracker: Recording) -> None:
    with pytest.raises(InputError, match="bedrock-runtime"):
        metered(a_client(provider, "sqs"), tracker)


def test_a_stream_is_counted_at_its_end_and_stays_botocores(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(event_stream_answer(START, text("It "), text("melts."), *END))
    stream = client.converse_stream(**ASKED)["stream"]

    seen = list(stream)

    assert isinstance(stream, EventStream)
    assert [next(iter(event)) for event in seen] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert (tracker.call.model, tracker.call.usage, tracker.call.status) == (NOVA, USAGE, "ok")
    assert not tracker.refused


def test_a_stream_can_be_left_and_taken_up_again(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(event_stream_answer(START, text("It "), text("melts."), *END))
    stream = client.converse_stream(**ASKED)["stream"]
    for _ in stream:
        break
    rest = list(stream)

    assert len(rest) == 5
    assert (tracker.call.usage, tracker.call.status) == (USAGE, "ok")


@pytest.mark.parametrize("how", ["close", "drop"])
def test_a_stream_left_early_has_used_its_input_and_what_came(
    how: str, client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = threading.Event()
    provider.script.append(event_stream_answer(START, text("It "), text("melts."), go_on, *END))
    stream = client.converse_stream(**ASKED)["stream"]
    connection = stream._raw_stream
    reading = iter(stream)
    for _ in range(3):
        next(reading)
    if how == "close":
        stream.close()
    del stream, reading
    gc.collect()
    go_on.set()
    # botocore leaves that to the collector, which warns.
    connection.close()

    assert abandoned().wait(10)
    assert tracker.call.status == "cancelled"
    assert tracker.call.usage == Usage(input_tokens=5, output_tokens=3)
    assert is_estimated(tracker)


def test_an_exception_inside_a_stream_is_recorded_with_its_class(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    failure = frame("modelStreamErrorException", {"message": "it broke"}, exception=True)
    provider.script.append(event_stream_answer(START, text("It melts."), failure))

    stream = client.converse_stream(**ASKED)["stream"]
    with pytest.raises(EventStreamError):
        list(stream)
    stream.close()

    assert (tracker.call.status, tracker.call.error_type) == ("error", "EventStreamError")
    assert is_estimated(tracker)


def test_a_stream_that_is_cut_off_is_an_error(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(event_stream_answer(START, text("It melts."), HANG_UP))

    stream = client.converse_stream(**ASKED)["stream"]
    with pytest.raises(Exception) as raised:  # noqa: PT011 (botocore lets urllib3's through)
        list(stream)
    stream.close()

    call = tracker.call
    assert (call.status, call.error_type) == ("error", type(raised.value).__name__)


def invoke(client: Any) -> dict[str, Any]:
    body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9, "messages": []}
    answer: dict[str, Any] = client.invoke_model(modelId=CLAUDE, body=json.dumps(body))
    return answer


READERS = {
    "read": lambda body: body.read(),
    "read in parts": lambda body: b"".join(iter(lambda: body.read(16), b"")),
    "iterate": b"".join,
    "lines": lambda body: b"".join(body.iter_lines()),
    "chunks": lambda body: b"".join(body.iter_chunks(7)),
}


@pytest.mark.parametrize("reader", READERS)
def test_an_invoked_models_answer_is_read_along(
    reader: str, client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    hour = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 15}
    usage = message()["usage"] | {"cache_creation": hour}
    provider.script.append(json_answer(message(usage=usage), **HEADERS))
    answer = invoke(client)

    body = READERS[reader](answer["body"])

    assert isinstance(answer["body"], StreamingBody)
    assert json.loads(body)["id"] == "msg_1"
    assert (tracker.call.provider, tracker.call.model) == ("aws", CLAUDE)
    assert tracker.call.usage == Usage(**USAGE.counts() | {"cache_write_1h_tokens": 15})


@pytest.mark.parametrize("how", ["raw stream", "close", "drop"])
def test_an_answer_that_is_not_seen_is_counted_by_its_headers(
    how: str, client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer(message(), **HEADERS))
    answer = invoke(client)
    if how == "raw stream":
        with answer["body"] as raw:
            assert raw.read()
    elif how == "close":
        answer["body"].close()
    del answer
    gc.collect()

    assert abandoned().wait(10)
    assert (tracker.call.usage, tracker.call.status) == (USAGE, "ok")


def test_an_answer_that_is_cut_off_was_made_all_the_same(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    headers = {name.replace("_", "-"): count for name, count in HEADERS.items()}
    provider.script.append(Answer([b'{"id": "msg', HANG_UP], headers=headers))
    answer = invoke(client)

    with pytest.raises(ResponseStreamingError):
        answer["body"].read()

    call = tracker.call
    assert (call.status, call.error_type) == ("error", "ResponseStreamingError")
    assert call.usage == USAGE


def test_an_answer_without_any_counts_is_recorded_without_a_price(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(json_answer({"images": ["aGk="]}))
    invoke(client)["body"].read()

    assert tracker.call.usage is None
    assert "no usage" in tracker.refused[0]


def test_an_invoked_stream_is_counted_by_bedrocks_own_metrics(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    *said, stop = events()
    metrics = {"inputTokenCount": 30, "outputTokenCount": 20, "invocationLatency": 9}
    metrics |= {"cacheReadInputTokenCount": 50, "cacheWriteInputTokenCount": 20}
    stop = {**stop, "amazon-bedrock-invocationMetrics": metrics}
    provider.script.append(event_stream_answer(*map(chunk, [*said, stop])))
    answer = client.invoke_model_with_response_stream(modelId=CLAUDE, body="{}")

    seen = list(answer["body"])

    assert len(seen) == len(said) + 1
    assert (tracker.call.model, tracker.call.usage) == (CLAUDE, USAGE)


def test_an_invoked_stream_left_early_has_used_what_it_told(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    provider.script.append(event_stream_answer(*map(chunk, events()[:4]), HANG_UP))
    stream = client.invoke_model_with_response_stream(modelId=CLAUDE, body="{}")["body"]
    reading = iter(stream)
    for _ in range(4):
        next(reading)
    stream.close()

    assert tracker.call.status == "cancelled"
    assert tracker.call.usage == Usage(**USAGE.counts() | {"output_tokens": 3})


def test_an_error_is_recorded_with_its_class_and_reraised_untouched(
    client: Any, provider: ProviderStandIn, tracker: Recording
) -> None:
    answer = json_answer(
        {"message": "slow down"}, status=429, X_Amzn_ErrorType="ThrottlingException"
    )
    provider.script.append(answer)

    with pytest.raises(ClientError) as raised:
        client.converse(**ASKED)

    assert isinstance(raised.value, client.exceptions.ThrottlingException)
    assert (tracker.call.status, tracker.call.error_type) == ("error", "ThrottlingException")
    assert (tracker.call.model, tracker.call.usage) == (NOVA, NOTHING_USED)


def test_a_call_that_timed_out_may_be_billed_its_input(
    provider: ProviderStandIn, tracker: Recording
) -> None:
    go_on = threading.Event()
    provider.script.append(Answer([go_on, b"{}"]))
    slow = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=provider.base,
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=0.2),
    )

    with pytest.raises(ReadTimeoutError):
        metered(slow, tracker).converse(**ASKED)
    go_on.set()

    assert tracker.call.status == "error"
    assert tracker.call.usage == Usage(input_tokens=5)
    assert is_estimated(tracker)


def test_botocores_retries_are_one_call(
    provider: ProviderStandIn, tracker: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    provider.script += [json_answer({}, status=500), json_answer(CONVERSE)]
    patient = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=provider.base,
        aws_access_key_id="AKIA",
        aws_secret_access_key="s",
    )
    metered(patient, tracker).converse(**ASKED)

    assert len(provider.asked) == 2
    assert (tracker.call.usage, tracker.call.status) == (USAGE, "ok")
