"""``python -m benchmarks [NAME]``."""

from __future__ import annotations

import sys

from benchmarks import demo, guard, integrations, ledger, metering, middleware, queue, sinks, synth

BENCHMARKS = {
    "demo": demo.run,
    "guard": guard.run,
    "integrations": integrations.run,
    "ledger": ledger.run,
    "metering": metering.run,
    "middleware": middleware.run,
    "queue": queue.run,
    "sinks": sinks.run,
    "synth": synth.run,
}


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are: {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
