"""The contract of the incidents' memory, for the one in DynamoDB and the one in a dictionary."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from aws_tables import aws, make_table
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from unit.alerts.alert_samples import NOW, Clock, a_rung_alert, a_trip_report, alert_of

from spendfuse.alerts.dynamodb import DynamoIncidents
from spendfuse.alerts.incident import LEASE_SECONDS, Incidents, Lease, incident_key
from spendfuse.alerts.memory import MemoryIncidents
from spendfuse.errors import SettingsError, UnavailableError

ALERT = a_rung_alert(80)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def table() -> Iterator[object]:
    with mock_aws():
        make_table("incidents")
        yield aws("dynamodb")


@pytest.fixture(params=["memory", "dynamodb"])
def incidents(request: pytest.FixtureRequest, clock: Clock) -> Incidents:
    if request.param == "memory":
        return MemoryIncidents(now=clock)
    return DynamoIncidents(request.getfixturevalue("table"), "incidents", now=clock)


def test_an_incident_holds_its_alerts_with_when_they_came(
    incidents: Incidents, clock: Clock
) -> None:
    incidents.remember(ALERT)
    clock.pass_seconds(90)
    remembered = incidents.remember(a_trip_report())

    assert {each.alert_id for each in remembered} == {ALERT.id, a_trip_report().id}
    by_id = {each.alert_id: each for each in remembered}
    assert by_id[ALERT.id].seen_at == NOW
    assert by_id[a_trip_report().id].seen_at == NOW + timedelta(seconds=90)
    assert by_id[ALERT.id].headline == ALERT.headline


def test_an_alert_that_comes_again_keeps_its_first_time(incidents: Incidents, clock: Clock) -> None:
    incidents.remember(ALERT)
    clock.pass_seconds(90)

    assert [each.seen_at for each in incidents.remember(ALERT)] == [NOW]


def test_incidents_are_kept_apart(incidents: Incidents) -> None:
    incidents.remember(ALERT)

    assert len(incidents.remember(a_rung_alert(80, id="next month", period="2026-12"))) == 1
    assert len(incidents.remember(alert_of("raw-text.txt"))) == 1


def test_of_two_who_ask_one_gets_the_lease(incidents: Incidents) -> None:
    incidents.remember(ALERT)
    first = incidents.claim(ALERT, "slack")

    assert first == Lease(NOW + timedelta(seconds=LEASE_SECONDS))
    assert incidents.claim(ALERT, "slack") == first.until


def test_a_lease_on_one_channel_leaves_the_others_free(incidents: Incidents) -> None:
    incidents.claim(ALERT, "slack")

    assert isinstance(incidents.claim(ALERT, "email"), Lease)
    assert isinstance(incidents.claim(a_rung_alert(50), "slack"), Lease)


def test_what_was_sent_is_never_leased_again(incidents: Incidents, clock: Clock) -> None:
    incidents.remember(ALERT)
    incidents.claim(ALERT, "slack")
    incidents.mark_sent(ALERT, "slack")
    clock.pass_seconds(10 * LEASE_SECONDS)

    assert incidents.claim(ALERT, "slack") == "sent"
    assert isinstance(incidents.claim(ALERT, "email"), Lease)


def test_a_lease_given_back_is_free_at_once(incidents: Incidents) -> None:
    lease = incidents.claim(ALERT, "slack")
    incidents.release(ALERT, "slack", lease)

    assert isinstance(incidents.claim(ALERT, "slack"), Lease)


def test_the_lease_of_one_who_died_runs_out(incidents: Incidents, clock: Clock) -> None:
    incidents.claim(ALERT, "slack")
    clock.pass_seconds(LEASE_SECONDS)

    assert isinstance(incidents.claim(ALERT, "slack"), Lease)


def test_who_comes_back_late_takes_nobodys_lease_away(incidents: Incidents, clock: Clock) -> None:
    late = incidents.claim(ALERT, "slack")
    clock.pass_seconds(LEASE_SECONDS + 1)
    incidents.claim(ALERT, "slack")
    incidents.release(ALERT, "slack", late)

    assert not isinstance(incidents.claim(ALERT, "slack"), Lease)


def test_a_release_after_sending_brings_nothing_back(incidents: Incidents) -> None:
    lease = incidents.claim(ALERT, "slack")
    incidents.mark_sent(ALERT, "slack")
    incidents.release(ALERT, "slack", lease)

    assert incidents.claim(ALERT, "slack") == "sent"


def test_a_claim_before_the_alert_is_remembered_loses_nothing(incidents: Incidents) -> None:
    incidents.claim(ALERT, "slack")
    incidents.claim(a_rung_alert(50), "slack")

    assert [each.alert_id for each in incidents.remember(ALERT)] == [ALERT.id]


@pytest.mark.parametrize("id_", ["機" * 3000, "a" * 5000])
def test_an_id_may_be_longer_than_a_key(incidents: Incidents, id_: str) -> None:
    long = replace(ALERT, id=id_, budget=None)
    other = replace(long, id=id_ + "!")
    incidents.remember(long)
    incidents.claim(long, "slack")

    assert [each.alert_id for each in incidents.remember(long)] == [id_]
    assert isinstance(incidents.claim(other, "slack"), Lease)


def test_a_long_incident_is_remembered_whole(incidents: Incidents) -> None:
    alerts = [a_rung_alert(80, id=f"{n}" + "x" * 900, headline="h" * 200) for n in range(40)]
    remembered = [incidents.remember(alert) for alert in alerts]

    assert len(remembered[-1]) == 40


def test_dynamodb_forgets_after_400_days(table: object, clock: Clock) -> None:
    DynamoIncidents(table, "incidents", now=clock).remember(ALERT)
    (item,) = table.scan(TableName="incidents")["Items"]

    assert item["pk"]["S"] == f"incident#{incident_key(ALERT)}"
    assert item["sk"]["S"] == f"alert#{ALERT.id}"
    assert int(item["expires_at"]["N"]) == int((NOW + timedelta(days=400)).timestamp())


class Broken:
    """A DynamoDB that answers every call with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def update_item(self, **_: object) -> None:
        raise self._error


def client_error(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": ""}}, "UpdateItem")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("ProvisionedThroughputExceededException"), UnavailableError),
        (client_error("ThrottlingException"), UnavailableError),
        (client_error("InternalServerError"), UnavailableError),
        (client_error("RequestLimitExceeded"), UnavailableError),
        (EndpointConnectionError(endpoint_url="https://x"), UnavailableError),
        (client_error("ResourceNotFoundException"), SettingsError),
        (client_error("AccessDeniedException"), SettingsError),
    ],
)
def test_each_error_of_dynamodb_says_what_to_do(
    error: Exception, kind: type[Exception], clock: Clock
) -> None:
    broken = DynamoIncidents(Broken(error), "incidents", now=clock)
    calls = [
        lambda: broken.remember(ALERT),
        lambda: broken.claim(ALERT, "slack"),
        lambda: broken.mark_sent(ALERT, "slack"),
        lambda: broken.release(ALERT, "slack", Lease(NOW)),
    ]

    for call in calls:
        with pytest.raises(kind):
            call()
