"""Whatever a user calls himself, he reaches no counter but his own."""

from __future__ import annotations

import pytest
from contract.guard.steps import held, level, refused, settle
from contract.guard.stores import Rig

from spendfuse.guard.step import Standing

ODD = {
    "a-key": "user:x}:y",
    "a-tag": "{root}",
    "a-path": "../root/2099-12",
    "a-counter": "root/2099-12",
    "a-pattern": "*",
    "newlines": "u\r\n17",
    "a-zero-byte": "u\x0017",
    "emoji": "👩🏽‍💻",
    "half-a-character": "u\ud800",
    "ten-kilobytes": "u" * 10_000,
    "quotes": """u'"`\\17""",
    "json": '{"id": "a"}, [1]',
}


@pytest.mark.parametrize("value", ODD.values(), ids=ODD.keys())
def test_an_odd_user_has_a_budget_of_his_own(rig: Rig, value: str) -> None:
    root = level("root", 1_000)
    odd, other = level("user", 50, value=value), level("user", 50, value="x")
    settle(rig, held(rig, "a", 50, root, other), 50)

    hold = held(rig, "b", 40, root, odd)
    refused(rig, "c", 11, root, odd)
    found = rig.store.find("b")
    settle(rig, hold, 30)

    assert found is not None
    assert found.levels[1].value == value
    assert rig.look(odd.counter, other.counter, root.counter) == [
        Standing(30, 0),
        Standing(50, 0),
        Standing(80, 0),
    ]


@pytest.mark.parametrize(
    "hold_id", ["a:b}{*", "root/2099-12", "*", "h\r\n1", "👩🏽‍💻", "h" * 500, '"]}', "a b"]
)
def test_an_odd_id_is_an_id_like_any_other(rig: Rig, hold_id: str) -> None:
    held(rig, "other", 10, level())
    hold = held(rig, hold_id, 40, level())

    found = rig.store.find(hold_id)

    assert found is not None
    assert found.id == hold_id
    assert settle(rig, hold, 30).kind == "settled"
    assert settle(rig, hold, 30).kind == "again"
    assert rig.look(level().counter) == [Standing(30, 10)]
