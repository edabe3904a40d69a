from __future__ import annotations

import pytest
from botocore.exceptions import ConnectionClosedError, EndpointConnectionError
from unit.fuse.api_gateway import ApiGateway

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.fuse.key import Key, NoSuchKeyError
from spendfuse.fuse.keys import KEY_STORES, open_key_stores
from spendfuse.fuse.keys.api_gateway import ApiGatewayKeys, Pace, longest_call_seconds


class Clock:
    def __init__(self):
        self.seconds = 0.0
        self.slept = []

    def now(self):
        return self.seconds

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.seconds += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def aws():
    aws = ApiGateway()
    aws.add("k1", fuse="llm", owner="ann")
    return aws


@pytest.fixture
def keys(aws, clock):
    return ApiGatewayKeys(aws.client, Pace(8, clock.now, clock.sleep))


def test_a_key_is_known_by_id_name_state_and_tags_and_never_by_its_value(keys):
    tags = {"spendfuse:fuse": "llm", "spendfuse:owner": "ann"}
    expected = Key("api_gateway", "k1", "name-k1", enabled=True, tags=tags)

    assert keys.all_keys() == [expected]
    assert keys.key("k1") == expected


def test_all_pages_are_read(aws, keys):
    aws.largest_page = 2
    for number in range(2, 6):
        aws.add(f"k{number}")

    assert [key.id for key in keys.all_keys()] == ["k1", "k2", "k3", "k4", "k5"]
    assert len(aws.requests) == 3


def test_disabling_and_enabling_change_the_key(aws, keys):
    keys.disable("k1")
    assert aws.enabled() == []

    keys.enable("k1")
    assert aws.enabled() == ["k1"]


@pytest.mark.parametrize("call", ["key", "disable", "enable"])
def test_a_key_that_is_gone_is_told_apart(keys, call):
    with pytest.raises(NoSuchKeyError, match="gone"):
        getattr(keys, call)("gone")


def test_calls_are_spaced_below_what_aws_allows(keys, clock):
    for _ in range(9):
        keys.key("k1")

    assert clock.seconds == pytest.approx(1.0)


def test_time_that_passed_anyway_is_not_waited_for_again(keys, clock):
    keys.key("k1")
    clock.seconds += 5
    keys.key("k1")

    assert clock.slept == []


def test_a_throttled_call_is_tried_again_and_waits_longer_each_time(aws, keys, clock):
    aws.errors = [(429, "TooManyRequestsException")] * 3

    assert keys.key("k1").id == "k1"
    assert clock.slept == [0.25, 0.5, 1.0]


def test_a_call_that_stays_throttled_is_unavailable(aws, keys):
    aws.errors = [(429, "TooManyRequestsException")] * 20

    with pytest.raises(UnavailableError, match="too many requests"):
        keys.disable("k1")


@pytest.mark.parametrize("request_seconds", [0.0, 0.3, 2.0, 5.0, 9.7, 13.0])
def test_no_call_takes_longer_than_its_bound_however_slow_the_answers(
    aws, keys, clock, request_seconds
):
    aws.errors = [(429, "TooManyRequestsException")] * 20

    def slow(**_):
        clock.sleep(request_seconds)

    aws.client.meta.events.register_first("before-send.apigateway", slow)

    with pytest.raises(UnavailableError):
        keys.disable("k1")

    assert clock.seconds <= longest_call_seconds(request_seconds)


def test_nothing_is_waited_for_after_the_last_attempt(aws, keys, clock):
    aws.errors = [(429, "TooManyRequestsException")] * 20

    with pytest.raises(UnavailableError):
        keys.key("k1")

    assert clock.slept == [0.25, 0.5, 1.0, 2.0, 4.0]


def test_a_fault_of_the_service_or_the_connection_is_tried_again(aws, keys):
    failures = [ConnectionClosedError(endpoint_url="https://apigateway")]

    def broken(**_):
        if failures:
            raise failures.pop()

    aws.client.meta.events.register_first("before-send.apigateway", broken)
    aws.errors = [(503, "ServiceUnavailableException")]

    keys.disable("k1")

    assert aws.enabled() == []


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "AccessDeniedException", SettingsError),
        (401, "UnauthorizedException", SettingsError),
        (400, "BadRequestException", SettingsError),
        (409, "ConflictException", UnavailableError),
        (503, "ServiceUnavailableException", UnavailableError),
    ],
)
def test_each_vendor_error_says_what_to_do_next(aws, keys, status, code, error):
    aws.errors = [(status, code)] * 20

    with pytest.raises(error, match=code):
        keys.disable("k1")


def test_no_answer_is_unavailable(aws, keys):
    def unreachable(**_):
        raise EndpointConnectionError(endpoint_url="https://apigateway")

    aws.client.meta.events.register_first("before-send.apigateway", unreachable)

    with pytest.raises(UnavailableError, match="can't be reached"):
        keys.all_keys()


def test_the_table_opens_each_store_with_a_client_of_its_service(aws):
    asked = []

    stores = open_key_stores(KEY_STORES, lambda service: asked.append(service) or aws.client)

    assert [store.name for store in stores] == list(KEY_STORES)
    assert asked == ["apigateway"]


def test_an_unknown_store_is_named():
    with pytest.raises(SettingsError, match=r"\['openai'\]; there are: \['api_gateway'\]"):
        open_key_stores(["openai"], lambda _: None)
