"""What the demo did, step by step, with its seconds; a missing step is a failure."""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from spendfuse.errors import SpendfuseError


class DemoError(SpendfuseError):
    """The story did not go as it must."""


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    seconds: float
    """From the end of the step before."""
    detail: str


@dataclass
class Report:
    """The steps done so far, and the figures measured on the way."""

    say: Callable[[str], None]
    clock: Callable[[], float]
    steps: list[Step] = field(default_factory=list)
    samples: dict[str, list[float]] = field(default_factory=dict)
    _last: float = 0.0
    _begin: float = 0.0

    def __post_init__(self) -> None:
        self._begin = self._last = self.clock()

    def done(self, name: str, detail: str) -> None:
        """Note that a step is done, and say so."""
        now = self.clock()
        self.steps.append(Step(name, round(now - self._last, 2), detail))
        self._last = now
        self.say(f"{now - self._begin:6.1f} s  {detail}")

    def measured(self, figure: str, seconds: float) -> None:
        self.samples.setdefault(figure, []).append(round(seconds, 2))

    def missing(self, expected: Iterable[str]) -> list[str]:
        done = {step.name for step in self.steps}
        return [name for name in expected if name not in done]

    @contextlib.contextmanager
    def kept(self, path: Path, expected: Sequence[str]) -> Iterator[None]:
        """Write report.json when the story is over, however it ends.

        Raises:
            DemoError: a step is missing, though nothing else went wrong.
        """
        path.unlink(missing_ok=True)
        error = None
        try:
            yield
        except BaseException as broke_off:
            error = str(broke_off) or type(broke_off).__name__
            raise
        finally:
            self._write(path, expected, error)
        missing = self.missing(expected)
        if missing:
            raise DemoError(f"these steps are missing: {', '.join(missing)}; see {path.name}")

    def _write(self, path: Path, expected: Sequence[str], error: str | None) -> None:
        missing = self.missing(expected)
        report = {
            "passed": not missing and error is None,
            "missing": missing,
            "error": error,
            "seconds": round(self._last - self._begin, 2),
            "figures": {
                figure: {"median": round(statistics.median(values), 2), "samples": values}
                for figure, values in self.samples.items()
            },
            "steps": [asdict(step) for step in self.steps],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
