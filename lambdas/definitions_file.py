"""The deployment's definitions, as they stand in the asset beside this code."""

from __future__ import annotations

from pathlib import Path

from spendfuse.definitions import FILE_NAME, Definitions, definitions_from_json


def load() -> Definitions:
    """Read definitions.json from the asset's root."""
    text = (Path(__file__).parents[1] / FILE_NAME).read_text(encoding="utf-8")
    return definitions_from_json(text)
