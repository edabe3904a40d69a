"""A wrong client or tracker is told while the app starts, and not in a request."""

from __future__ import annotations

import anthropic
import openai
import pytest
from metering_sinks import KeptRecords
from opentelemetry.sdk.trace import TracerProvider

from spendfuse.errors import InputError, SettingsError
from spendfuse.metering import CostTracker, PriceBook
from spendfuse.metering.integrations.anthropic import metered as metered_anthropic
from spendfuse.metering.integrations.bedrock import metered as metered_bedrock
from spendfuse.metering.integrations.litellm_events import LitellmMeter
from spendfuse.metering.integrations.openai import metered as metered_openai
from spendfuse.metering.integrations.opentelemetry import GenAiSpanProcessor


@pytest.fixture(scope="module")
def tracker() -> CostTracker:
    return CostTracker(sinks=[KeptRecords()], prices=PriceBook.standard())


OPENAI = openai.OpenAI(api_key="none")
ANTHROPIC = anthropic.Anthropic(api_key="none")


class Converses:
    def converse(self) -> None: ...


@pytest.mark.parametrize(
    "begin",
    [
        lambda tracker: metered_openai(OPENAI, tracker),
        lambda tracker: metered_anthropic(ANTHROPIC, tracker),
        lambda tracker: metered_bedrock(Converses(), tracker),
        lambda tracker: LitellmMeter(tracker, {}),
        lambda tracker: TracerProvider().add_span_processor(GenAiSpanProcessor(tracker)),
    ],
)
@pytest.mark.parametrize("wrong", [None, "tracker", object()])
def test_what_is_no_tracker_is_refused_at_once(begin, wrong) -> None:
    with pytest.raises(SettingsError, match="tracker must be a CostTracker, got "):
        begin(wrong)


def test_another_sdks_client_is_refused_by_its_name(tracker) -> None:
    with pytest.raises(InputError, match="expected an OpenAI or AsyncOpenAI client, got Anthropic"):
        metered_openai(ANTHROPIC, tracker)
    with pytest.raises(InputError, match="expected an Anthropic client, sync or async, got OpenAI"):
        metered_anthropic(OPENAI, tracker)
    with pytest.raises(InputError, match="got NoneType"):
        metered_openai(None, tracker)
    with pytest.raises(InputError, match="got NoneType"):
        metered_anthropic(None, tracker)


def test_a_client_of_the_apps_own_class_is_metered(tracker) -> None:
    class Ours(anthropic.Anthropic):
        pass

    assert isinstance(metered_anthropic(Ours(api_key="none"), tracker), Ours)
