from __future__ import annotations

from tests.faults.queue_sink import Trial, run


def test_nothing_is_lost_or_doubled_though_queue_and_apps_die() -> None:
    found = run(Trial(records=30_000, kills=3, kill_after=(1.0, 2.0)))

    assert (found.lost, found.doubled, found.torn) == (0, 0, 0)
    assert found.safe >= 30_000
    assert found.counted >= found.safe
