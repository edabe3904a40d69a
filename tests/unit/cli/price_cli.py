"""``spendfuse prices`` as the tests call it: on a day of their own, with prices of their own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from spendfuse.cli.main import main

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXAMPLE = '{"input_tokens": 2000, "cached_input_tokens": 1920, "output_tokens": 300}'


@dataclass
class Context:
    """All that these commands need."""

    def now(self) -> datetime:
        return NOW


def run(*arguments: str, **invocation: Any) -> Result:
    return CliRunner().invoke(main, ["prices", *arguments], obj=Context(), **invocation)


def shown(*arguments: str) -> Any:
    result = run(*arguments, "--json")

    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def one_line(text: str) -> str:
    """Return the text without the line breaks that the width of a terminal put into it."""
    return " ".join(text.split())


ACME = """
schema: 1
version: acme-1
prices:
  - provider: acme
    models: [large]
    usd:
      input_tokens: {base: 3, above: {200000: 6}}
      cached_input_tokens: 0.3
      output_tokens: 15
    processing: {batch: 0.5}
    source: https://acme.example/prices
  - provider: acme
    models: [large]
    from: 2026-05-01
    usd: {output_tokens: 12}
    source: https://acme.example/prices/may
  - provider: acme
    models: [tiny]
    usd: {input_tokens: 0.02}
  - provider: acme
    models: [voice]
    usd: {audio_seconds: 0.36}
  - provider: acme
    models: [summer]
    from: 2026-06-01
    until: 2026-09-01
    usd: {input_tokens: 1, output_tokens: 2}
  - provider: acme
    models: [on-premise]
    free: true
"""


def acme(folder: Path, text: str = ACME) -> str:
    """Write the overrides of a provider that no book has, and return the file's name."""
    path = folder / "acme.yaml"
    path.write_text(text)
    return str(path)
