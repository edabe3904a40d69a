"""Runs every test that asks for a ``rig`` on every store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from contract.guard.stores import STORES, Gap, Rig, StoreUnderTest


@pytest.fixture(params=STORES, ids=lambda each: each.name)
def store_under_test(request: pytest.FixtureRequest) -> StoreUnderTest:
    tested: StoreUnderTest = request.param
    gap = _gap(tested, request.node)
    if gap is not None:
        request.applymarker(pytest.mark.xfail(strict=True, raises=gap.raises, reason=gap.reason))
    return tested


@pytest.fixture
def rig(store_under_test: StoreUnderTest) -> Iterator[Rig]:
    with store_under_test.opened() as rig:
        yield rig


def _gap(tested: StoreUnderTest, test: pytest.Item) -> Gap | None:
    name = getattr(test, "originalname", test.name)
    return tested.gaps.get(name) or tested.gaps.get(test.path.stem)
