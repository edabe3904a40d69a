from __future__ import annotations

import pytest

from spendfuse.metering.price_book import PriceBook


@pytest.fixture(scope="session")
def book() -> PriceBook:
    """The book that users get; shared, because nothing changes it."""
    return PriceBook.standard()
