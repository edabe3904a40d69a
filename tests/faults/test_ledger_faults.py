"""Each dollar once, each rung once, whatever AWS refuses and whoever dies.

DynamoDB's own contention is not ministack's: conflicts are injected.
"""

from __future__ import annotations

import pytest

from tests.faults.ledger_packs import POISON
from tests.faults.ledger_run import Found, Trial, run

KINDS = (
    "ProvisionedThroughputExceeded",
    "InternalServerError",
    "TransactionCanceled",
    "latency",
    "response:abort",
    "reset",
    "timeout",
)
PACKS, RECORDS = 1_000, 200
MOST_SECONDS = 600
"""It takes a sixth of that where nothing else runs."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2 * MOST_SECONDS)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    trial = Trial(packs=PACKS, records=RECORDS, most_seconds=MOST_SECONDS)
    return run(trial, tmp_path_factory.mktemp("ledger"))


def test_the_totals_are_the_exact_sums_of_what_was_sent(found: Found) -> None:
    sums = found.sums

    assert found.counted == {
        where: (sums.nano_usd[where], sums.requests[where], sums.unpriced[where])
        for where in sums.nano_usd
    }


def test_users_models_and_features_have_spent_what_they_spent(found: Found) -> None:
    assert found.by_value == dict(found.sums.by_value)


def test_the_series_have_every_dollar_of_the_day(found: Found) -> None:
    assert found.by_day == dict(found.sums.by_day)


def test_every_rung_rings_and_by_one_alert(found: Found) -> None:
    texts: dict[str, set[str]] = {}
    for alert in found.alerts:
        texts.setdefault(alert.id, set()).add(alert.to_json())

    assert texts.keys() == found.due
    assert [alert_id for alert_id, each in texts.items() if len(each) > 1] == []


def test_only_the_poison_is_in_the_dead_letter_queue(found: Found) -> None:
    assert set(found.dead_letters) == set(POISON)


def test_what_can_t_be_read_is_in_quarantine_once(found: Found) -> None:
    assert found.quarantined == found.sums.unreadable


def test_all_kinds_of_faults_came_about_and_workers_died(found: Found) -> None:
    fired = " ".join(found.faults)

    assert found.kills >= 10
    assert [kind for kind in KINDS if kind not in fired] == []
