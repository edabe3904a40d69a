"""The price table that litellm publishes, read as prices of ours: to compare, never to bill by.

https://github.com/BerriAI/litellm: model_prices_and_context_window.json. Its keys say unit, tier
and way of processing at once: ``input_cost_per_token_above_200k_tokens_batches``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from spendfuse.errors import SettingsError
from spendfuse.metering import names
from spendfuse.metering.catalogue import PER, Rate, Rates
from spendfuse.metering.processing import STANDARD

FILE = "model_prices_and_context_window_backup.json"
"""As an installed litellm has it."""
_UNITS: Mapping[str, str] = {
    "input_cost_per_token": "input_tokens",
    "output_cost_per_token": "output_tokens",
    "cache_read_input_token_cost": "cached_input_tokens",
    "cache_creation_input_token_cost": "cache_write_tokens",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h_tokens",
    "output_cost_per_reasoning_token": "reasoning_tokens",
    "citation_cost_per_token": "citation_tokens",
    "input_cost_per_audio_token": "input_audio_tokens",
    "output_cost_per_audio_token": "output_audio_tokens",
    "cache_read_input_audio_token_cost": "cached_audio_tokens",
    "input_cost_per_image_token": "input_image_tokens",
    "output_cost_per_image_token": "output_image_tokens",
    "cache_read_input_image_token_cost": "cached_image_tokens",
    "input_cost_per_video_token": "input_video_tokens",
    "output_cost_per_video_token": "output_video_tokens",
    "input_cost_per_character": "characters",
    "ocr_cost_per_page": "pages",
    "annotation_cost_per_page": "annotated_pages",
}
_TRANSCRIPTION = {"input_cost_per_second": "audio_seconds"}
"""Elsewhere a second is one of video, or of a rented machine."""
_WAYS = {None: STANDARD, "batches": "batch", "flex": "flex", "priority": "priority"}
_KEY = re.compile(
    r"(?P<unit>.+?)(?:_above_(?P<thousands>\d+)k_tokens)?(?:_(?P<way>batches|flex|priority))?"
)
_PROVIDERS: Mapping[str, str] = {
    "azure_text": "azure",
    "codestral": "mistral",
    "text-completion-codestral": "mistral",
    "text-completion-openai": "openai",
}


class Listed(NamedTuple):
    """One model as litellm lists it."""

    name: str
    provider: str
    """Under the name that the price book may know."""
    prices: Mapping[str, Rates]
    """By way of processing; only what it lists."""


def installed_table() -> Path | None:
    """Return the table of the litellm that is installed, without importing it."""
    try:
        spec = find_spec("litellm")
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name(FILE)
    return path if path.is_file() else None


def table_in(path: Path) -> list[Listed]:
    """Return the models that the table has prices for.

    Raises:
        SettingsError: the file can't be read, or is no such table.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    except OSError as error:
        raise SettingsError(f"the price table {path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the price table {path} is no JSON: {error}") from error
    models = raw if isinstance(raw, dict) else {}
    listed = [_listed(name, each) for name, each in models.items() if isinstance(each, dict)]
    found = [each for each in listed if each.prices and each.name != "sample_spec"]
    if not found:
        raise SettingsError(
            f"the price table {path} has no prices; expected an object of models, such as "
            'litellm\'s {"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 2.5e-06}}'
        )
    return found


def _listed(name: str, raw: Mapping[str, Any]) -> Listed:
    return Listed(name, _provider(str(raw.get("litellm_provider", ""))), _prices(raw))


def _provider(theirs: str) -> str:
    known = _PROVIDERS.get(theirs)
    # vertex_ai-anthropic_models, fireworks_ai-embedding-models
    family = theirs.partition("-")[0]
    return known or names.provider_id(family if family in names.PROVIDERS else theirs)


def _prices(raw: Mapping[str, Any]) -> dict[str, Rates]:
    units = _UNITS
    if raw.get("mode") == "audio_transcription":
        units = {**_UNITS, **_TRANSCRIPTION}
    bases: dict[str, dict[str, Decimal]] = {}
    tiers: dict[tuple[str, str], list[tuple[int, Decimal]]] = {}
    for key, value in raw.items():
        parts = _KEY.fullmatch(key)
        unit = units.get(parts["unit"]) if parts else None
        if parts is None or unit is None or not _is_amount(value):
            continue
        way, usd = _WAYS[parts["way"]], value * PER[unit]
        if parts["thousands"]:
            tiers.setdefault((way, unit), []).append((int(parts["thousands"]) * 1000, usd))
        else:
            bases.setdefault(way, {})[unit] = Decimal(usd)
    return {
        way: {
            unit: Rate(usd, tuple(sorted(tiers.get((way, unit), ())))) for unit, usd in base.items()
        }
        for way, base in bases.items()
    }


def _is_amount(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return False
    return Decimal(value).is_finite() and value >= 0
