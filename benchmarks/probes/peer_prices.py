"""How long the libraries that people use take to price one call; runs in the peers' environment.

Their own public calls, with what they need made beforehand.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from time import process_time

# Else litellm fetches its prices from the network at import.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"


def microseconds(call: Callable[[], object], *, calls: int = 300, repeats: int = 15) -> float:
    """Return the CPU time of one call: the least of several rounds."""
    call()
    best = float("inf")
    for _ in range(repeats):
        began = process_time()
        for _ in range(calls):
            call()
        best = min(best, process_time() - began)
    return best / calls * 1e6


def main() -> None:
    # After the environment was set, and in the order in which they would be missed.
    import genai_prices  # noqa: PLC0415
    import litellm  # noqa: PLC0415
    import tokencost  # noqa: PLC0415

    usage = genai_prices.Usage(input_tokens=2000, cache_read_tokens=1920, output_tokens=300)
    at = datetime.now(UTC)
    theirs = {
        "litellm.cost_per_token": lambda: litellm.cost_per_token(
            model="gpt-4o",
            prompt_tokens=2000,
            completion_tokens=300,
            cache_read_input_tokens=1920,
        ),
        "genai_prices.calc_price": lambda: genai_prices.calc_price(
            usage, "gpt-4o", provider_id="openai", genai_request_timestamp=at
        ),
        "tokencost": lambda: (
            tokencost.calculate_cost_by_tokens(2000, "gpt-4o", "input")
            + tokencost.calculate_cost_by_tokens(300, "gpt-4o", "output")
        ),
    }
    json.dump({name: microseconds(call) for name, call in theirs.items()}, sys.stdout)


if __name__ == "__main__":
    main()
