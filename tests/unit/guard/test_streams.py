"""A metered client's stream is charged what was streamed, wherever and however it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from metering_sinks import KeptRecords
from unit.metering.integrations.openai_samples import LAST, MESSAGES, USAGE_ALONE, chunk
from unit.metering.integrations.provider_stand_in import (
    ProviderStandIn,
    provider_stand_in,
    sse_answer,
)

from spendfuse.budget import Budget
from spendfuse.guard import Guard
from spendfuse.metering import CostTracker
from spendfuse.metering.integrations.abandoned import abandoned
from spendfuse.metering.integrations.openai import metered

DOLLAR = 10**9


@pytest.fixture
def provider() -> Iterator[ProviderStandIn]:
    with provider_stand_in() as stand_in:
        stand_in.script.append(sse_answer(chunk("It "), chunk("melts."), LAST, USAGE_ALONE))
        yield stand_in


@pytest.fixture
def kept() -> KeptRecords:
    return KeptRecords()


@pytest.fixture
def client(provider: ProviderStandIn, kept: KeptRecords) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=f"{provider.base}/v1", max_retries=0) as bare:
        yield metered(bare, CostTracker(sinks=[kept]))


@pytest.fixture
def guard() -> Guard:
    return Guard([Budget("all", 100 * DOLLAR, "month")])


def ask(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True)


def standing(guard: Guard) -> tuple[int, int]:
    (all_,) = guard.check()
    return all_.spent_nano_usd, all_.held_nano_usd


def recorded(kept: KeptRecords) -> int:
    (record,) = kept.records
    assert record.cost_nano_usd
    return record.cost_nano_usd


def test_a_stream_read_inside_is_charged_what_it_cost(client, guard, kept) -> None:
    with guard.reserve("0.50"):
        list(ask(client))

    assert standing(guard) == (recorded(kept), 0)


def test_a_stream_that_outlives_its_reservation_is_held_until_its_end(client, guard, kept) -> None:
    with guard.reserve("0.50"):
        stream = ask(client)

    assert standing(guard) == (0, DOLLAR // 2)

    list(stream)

    assert standing(guard) == (recorded(kept), 0)


def test_a_stream_that_is_closed_half_way_is_charged_what_came(client, guard, kept) -> None:
    with guard.reserve("0.50"):
        stream = ask(client)
        next(iter(stream))
        stream.close()

    assert kept.records[0].status == "cancelled"
    assert standing(guard) == (recorded(kept), 0)


def test_a_stream_that_is_broken_off_and_dropped_is_charged_what_came(client, guard, kept) -> None:
    with guard.reserve("0.50"):
        for _ in ask(client):
            break
    gc.collect()

    assert abandoned().wait(5)
    assert standing(guard) == (recorded(kept), 0)


def test_an_error_amid_a_stream_charges_what_came(client, guard, kept) -> None:
    def failing() -> None:
        with guard.reserve("0.50"):
            for _ in ask(client):
                raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        failing()
    gc.collect()

    assert abandoned().wait(5)
    assert standing(guard) == (recorded(kept), 0)
