"""An alert is told once on each channel, and by e-mail where a channel won't take it."""

import pytest
from unit.alerts.alert_samples import DEFINITIONS, Clock, a_rung_alert, a_trip_alert

from spendfuse.alerts.channel import RefusedError, UndeliveredError
from spendfuse.alerts.incident import LEASE_SECONDS, Story
from spendfuse.alerts.memory import MemoryIncidents
from spendfuse.alerts.tell_people import PATIENT_ATTEMPTS, Failure, TellPeople
from spendfuse.errors import UnavailableError

BOTH = a_rung_alert(80)
SLACK_ONLY = a_rung_alert(80, channels=("slack",))
MAIL_ONLY = a_rung_alert(80, channels=("email",))


class Recorder:
    """A channel that fails as it is told, then takes everything."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.tries = 0
        self.taken: list[Story] = []

    def deliver(self, story: Story) -> None:
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        self.taken.append(story)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.slack = Recorder()
        self.email = Recorder()
        self.incidents = MemoryIncidents(now=self.clock)
        self.channels = {"slack": self.slack, "email": self.email}
        self.resting: dict = {}

    def tell(self, alert: object, attempt: int = 1) -> list[Failure]:
        people = TellPeople(self.incidents, self.channels, DEFINITIONS, self.clock)
        return people(alert, attempt=attempt, resting=self.resting)

    def heard(self) -> tuple[int, int]:
        return len(self.slack.taken), len(self.email.taken)


@pytest.fixture
def world() -> World:
    return World()


def test_an_alert_is_told_on_its_channels_and_no_others(world: World) -> None:
    assert world.tell(BOTH) == []
    assert world.heard() == (1, 1)
    assert world.tell(a_rung_alert(50, channels=("slack",))) == []
    assert world.heard() == (2, 1)


def test_an_alert_for_nobody_is_told_to_nobody(world: World) -> None:
    assert world.tell(a_rung_alert(50, channels=())) == []
    assert world.heard() == (0, 0)


def test_an_alert_that_comes_again_is_told_once(world: World) -> None:
    for attempt in (1, 1, 2):
        assert world.tell(BOTH, attempt) == []

    assert world.heard() == (1, 1)


def test_a_channel_that_fails_stops_no_other_and_is_told_later(world: World) -> None:
    world.slack.errors = [UndeliveredError("busy", retry_after_seconds=7)]

    assert world.tell(BOTH) == [Failure("slack", "busy", 7)]
    assert world.heard() == (0, 1)

    world.resting = {}
    assert world.tell(BOTH, attempt=2) == []
    assert world.heard() == (1, 1)


def test_the_last_channel_can_fail_too(world: World) -> None:
    world.email.errors = [UndeliveredError("throttled")]

    assert [failure.channel for failure in world.tell(BOTH)] == ["email"]
    world.resting = {}
    assert world.tell(BOTH) == []
    assert world.heard() == (1, 1)


def test_a_fault_of_ours_in_one_channel_stops_no_other(world: World) -> None:
    world.slack.errors = [ZeroDivisionError()]
    (failure,) = world.tell(BOTH)

    assert failure.channel == "slack"
    assert world.heard() == (0, 1)
    assert "could not be reached" in world.email.taken[0].notes[0]


def test_a_busy_channel_is_left_alone_by_the_rest_of_the_batch(world: World) -> None:
    world.slack.errors = [UndeliveredError("busy", retry_after_seconds=7)]
    world.tell(BOTH)

    assert world.tell(a_trip_alert()) == [Failure("slack", "busy", 7)]
    assert world.slack.tries == 1
    assert len(world.email.taken) == 2

    world.resting = {}
    assert world.tell(BOTH) == world.tell(a_trip_alert()) == []
    assert world.heard() == (2, 2)


def test_a_refusal_is_told_by_mail_and_tried_again(world: World) -> None:
    world.slack.errors = [RefusedError("secret 'acme/slack': there is no such secret")] * 2
    (failure,) = world.tell(SLACK_ONLY)
    (note,) = world.email.taken[0].notes

    assert failure.is_refused
    assert "slack could not be reached: secret 'acme/slack'" in note
    assert world.heard() == (0, 1)

    assert len(world.tell(SLACK_ONLY, attempt=2)) == 1
    assert world.heard() == (0, 1)
    assert world.tell(SLACK_ONLY, attempt=3) == []
    assert world.heard() == (1, 1)


def test_a_silent_channel_is_waited_for_before_a_mail_stands_in(world: World) -> None:
    for attempt in range(1, PATIENT_ATTEMPTS + 1):
        mails_before = len(world.email.taken)
        world.slack.errors = [UndeliveredError("no answer")]
        world.resting = {}
        world.tell(SLACK_ONLY, attempt)

    assert mails_before == 0
    assert len(world.email.taken) == 1


def test_a_channel_that_is_not_set_up_is_no_failure(world: World) -> None:
    del world.channels["slack"]

    assert world.tell(SLACK_ONLY) == []
    assert "slack is not set up" in world.email.taken[0].notes[0]


def test_a_channel_of_a_later_version_is_told_by_mail(world: World) -> None:
    assert world.tell(a_rung_alert(80, channels=("pager",))) == []
    assert "pager is not set up" in world.email.taken[0].notes[0]


def test_a_mail_without_trouble_has_no_notes(world: World) -> None:
    world.tell(MAIL_ONLY)

    assert world.email.taken[0].notes == ()


def test_while_another_delivery_is_sending_we_wait_for_it(world: World) -> None:
    world.incidents.claim(BOTH, "slack")
    world.clock.pass_seconds(20)

    assert world.tell(BOTH) == [
        Failure("slack", "another delivery is sending it", LEASE_SECONDS - 20)
    ]
    assert world.heard() == (0, 1)

    world.clock.pass_seconds(LEASE_SECONDS)
    assert world.tell(BOTH) == []
    assert world.heard() == (1, 1)


def test_a_delivery_that_comes_while_the_first_is_sending_sends_nothing(world: World) -> None:
    class Slow(Recorder):
        def deliver(self, story: Story) -> None:
            nested.extend(world.tell(BOTH))
            super().deliver(story)

    nested: list[Failure] = []
    slow = world.channels["slack"] = Slow()
    world.tell(BOTH)

    assert [failure.channel for failure in nested] == ["slack"]
    assert len(slow.taken) == 1
    assert len(world.email.taken) == 1


def test_alerts_out_of_order_tell_of_each_other(world: World) -> None:
    world.slack.errors = [UndeliveredError("busy")]
    world.tell(SLACK_ONLY)
    world.resting = {}
    world.clock.pass_seconds(5)
    world.tell(a_trip_alert())
    world.tell(SLACK_ONLY, attempt=2)
    trip, rung = world.slack.taken

    assert [each.alert_id for each in trip.earlier] == [SLACK_ONLY.id]
    assert (rung.number, [each.alert_id for each in rung.later]) == (1, [a_trip_alert().id])


class Forgetful(MemoryIncidents):
    def __init__(self, *, now: Clock, fails_at: str) -> None:
        super().__init__(now=now)
        self.fails_at = fails_at

    def fail_at(self, step: str) -> None:
        if self.fails_at == step:
            raise UnavailableError("no table")

    def remember(self, alert: object) -> object:
        self.fail_at("remember")
        return super().remember(alert)

    def mark_sent(self, alert: object, channel: str) -> None:
        self.fail_at("mark_sent")
        super().mark_sent(alert, channel)

    def release(self, alert: object, channel: str, lease: object) -> None:
        self.fail_at("release")
        super().release(alert, channel, lease)


def test_without_its_memory_nothing_is_told_yet(world: World) -> None:
    world.incidents = Forgetful(now=world.clock, fails_at="remember")

    with pytest.raises(UnavailableError):
        world.tell(BOTH)
    assert world.heard() == (0, 0)


def test_what_was_told_but_not_remembered_is_not_told_again(world: World) -> None:
    world.incidents = Forgetful(now=world.clock, fails_at="mark_sent")

    assert world.tell(BOTH) == []


def test_a_lease_that_can_not_be_given_back_costs_a_minute(world: World) -> None:
    world.incidents = Forgetful(now=world.clock, fails_at="release")
    world.slack.errors = [UndeliveredError("busy")]
    world.tell(BOTH)
    world.resting = {}

    assert world.tell(BOTH)[0].retry_after_seconds == LEASE_SECONDS
    world.clock.pass_seconds(LEASE_SECONDS)
    assert world.tell(BOTH) == []
    assert world.heard() == (1, 1)
