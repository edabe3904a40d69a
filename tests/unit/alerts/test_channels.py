"""Slack and e-mail take a story or say why not, and never tell the webhook's URL."""

import json
import logging
import traceback
from collections.abc import Iterator

import pytest
from aws_tables import aws
from botocore.exceptions import ClientError, EndpointConnectionError
from moto import mock_aws
from moto.core import DEFAULT_ACCOUNT_ID
from moto.sns import sns_backends
from slack_sdk.errors import SlackRequestError
from slack_sdk.webhook import WebhookClient
from unit.alerts.alert_samples import DEFINITIONS, NOW, Clock, a_rung_alert
from unit.alerts.slack_stand_in import Answer, SlackStandIn, slack_stand_in

from spendfuse.alerts import slack as slack_module
from spendfuse.alerts import sns as sns_module
from spendfuse.alerts.channel import RefusedError, UndeliveredError, Wiring
from spendfuse.alerts.channels import CHANNELS, open_channels
from spendfuse.alerts.incident import story, told
from spendfuse.alerts.outlook import outlook
from spendfuse.alerts.rendering import mail, slack_message
from spendfuse.alerts.secrets_manager import UrlSecret
from spendfuse.alerts.slack import SecretSlackChannel, SlackChannel
from spendfuse.alerts.sns import MailTopic
from spendfuse.errors import SettingsError, UnavailableError

ALERT = a_rung_alert(80)
TALE = story(ALERT, [told(ALERT, seen_at=NOW)], outlook(ALERT, DEFINITIONS))


@pytest.fixture
def slack() -> Iterator[SlackStandIn]:
    with slack_stand_in() as server:
        yield server


@pytest.fixture
def cloud() -> Iterator[None]:
    with mock_aws():
        yield


def test_slack_takes_the_rendered_message(slack: SlackStandIn) -> None:
    SlackChannel(slack.url).deliver(TALE)

    assert slack.received == [slack_message(TALE)]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"Retry-After": "30"}, 30),
        ({"retry-after": "1"}, 1),
        ({"Retry-After": "86400"}, 900),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
    ],
)
def test_a_busy_slack_says_when_to_come_again(
    slack: SlackStandIn, header: dict, seconds: int | None
) -> None:
    slack.script = [Answer(429, b"rate_limited", header)]

    with pytest.raises(UndeliveredError) as failed:
        SlackChannel(slack.url).deliver(TALE)
    assert failed.value.retry_after_seconds == seconds
    assert len(slack.received) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(500),
        Answer(503, b"\xff\xfe", {"Content-Type": "text/plain; charset=utf-8"}),
        Answer(502, b"x", {"Content-Type": "text/plain; charset=no-such-charset"}),
        Answer(304),
        Answer(hangs=True),
        Answer(hangs_up=True),
    ],
)
def test_an_ill_slack_is_asked_once_and_left_for_later(slack: SlackStandIn, answer: Answer) -> None:
    slack.script = [answer]

    with pytest.raises(UndeliveredError) as failed:
        SlackChannel(slack.url, timeout_seconds=0.2).deliver(TALE)
    assert failed.value.retry_after_seconds is None
    assert len(slack.received) == 1


def test_nobody_listening_is_left_for_later() -> None:
    with slack_stand_in() as gone:
        url = gone.url

    with pytest.raises(UndeliveredError):
        SlackChannel(url).deliver(TALE)


def test_a_malformed_message_goes_again_as_one_line(slack: SlackStandIn) -> None:
    slack.script = [Answer(400, b"invalid_blocks")]
    SlackChannel(slack.url).deliver(TALE)

    assert slack.taken == [{"text": slack_message(TALE)["text"]}]


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_webhook_that_refuses_the_line_too_is_refused(slack: SlackStandIn, status: int) -> None:
    slack.script = [Answer(status, b"no_service")] * 2

    with pytest.raises(RefusedError, match=str(status)):
        SlackChannel(slack.url).deliver(TALE)
    assert len(slack.received) == 2


def test_a_slack_that_turns_busy_at_the_line_is_left_for_later(slack: SlackStandIn) -> None:
    slack.script = [Answer(400), Answer(429, headers={"Retry-After": "7"})]

    with pytest.raises(UndeliveredError) as failed:
        SlackChannel(slack.url).deliver(TALE)
    assert failed.value.retry_after_seconds == 7


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.slack.com/services/hush-hush",
        "http://hooks.slack.com/services/hush-hush",
        "http://127.0.0.1@hooks.slack.com/hush-hush",
        "http://127.0.0.1.example.com/hush-hush",
        "http://169.254.169.254/hush-hush",
        "ftp://127.0.0.1/hush-hush",
        "file:///etc/hush-hush",
        "https:///hush-hush",
        "https://[hush-hush",
        "https://hooks.slack.com/hush hush",
        "https://hooks.slack.com/hush-hush\r\nHost: x",
        "https://hooks.slack.com/hush-hüsh",
    ],
)
def test_no_other_url_is_posted_to_nor_repeated(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        SlackChannel(url)
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T/B/x",
        "http://localhost:8080/x",
        "http://127.0.0.1/x",
        "http://[::1]:99/x",
    ],
)
def test_https_and_this_machine_are_posted_to(url: str) -> None:
    assert "/x" not in repr(SlackChannel(url))


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [Answer(500)],
        [Answer(429)],
        [Answer(404), Answer(404)],
        [Answer(503, b"\xff", {"Content-Type": "text/plain; charset=utf-8"})],
        [Answer(hangs=True)],
    ],
)
def test_the_webhook_is_told_to_nobody(
    slack: SlackStandIn,
    answers: list[Answer],
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    channel = SlackChannel(slack.url, timeout_seconds=0.2)
    slack.script = answers
    told_text = repr(channel)
    try:
        channel.deliver(TALE)
    except (UndeliveredError, RefusedError) as error:
        told_text += "".join(traceback.format_exception(error))

    assert "hush-hush" not in told_text
    assert "hush-hush" not in caplog.text
    # The SDK's own log says nothing at all.
    assert capsys.readouterr().err == ""


def test_an_error_of_the_sdk_that_holds_the_webhook_is_not_passed_on(
    slack: SlackStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaking(client: WebhookClient, _: object) -> None:
        raise SlackRequestError(f"Invalid URL detected: {client.url}")

    monkeypatch.setattr(WebhookClient, "send_dict", leaking)

    with pytest.raises(UndeliveredError) as failed:
        SlackChannel(slack.url).deliver(TALE)
    assert "hush-hush" not in "".join(traceback.format_exception(failed.value))


def a_secret(text: str, clock: Clock | None = None) -> UrlSecret:
    aws("secretsmanager").create_secret(Name="acme/slack", SecretString=text)
    return UrlSecret(aws("secretsmanager"), "acme/slack", now=clock or Clock())


@pytest.mark.parametrize(
    "text", ["https://x.example/y", " https://x.example/y\n", '{"url": "https://x.example/y"}']
)
def test_a_secret_holds_the_url_or_an_object_with_it(cloud: None, text: str) -> None:
    assert a_secret(text).url() == "https://x.example/y"


@pytest.mark.parametrize("text", ["{}", '{"url": 5}', '{"url": ""}', "{", " "])
def test_a_secret_without_a_url_says_what_to_put_there(cloud: None, text: str) -> None:
    with pytest.raises(SettingsError, match="acme/slack"):
        a_secret(text).url()


def test_a_missing_secret_is_named(cloud: None) -> None:
    with pytest.raises(SettingsError) as raised:
        UrlSecret(aws("secretsmanager"), "acme/other", now=Clock()).url()

    assert str(raised.value) == (
        "the secret acme/other is missing, or the function's role may not read it; create it with "
        "`aws secretsmanager create-secret --name acme/other --secret-string file://webhook.txt`"
    )


class BrokenSecrets:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def get_secret_value(self, **_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        ("AccessDeniedException", SettingsError, "acme/slack is missing, or the function's role"),
        ("DecryptionFailure", SettingsError, "let the function's role use its KMS key"),
        ("InvalidRequestException", SettingsError, "restore-secret --secret-id acme/slack"),
        ("InternalServiceError", UnavailableError, "can't be read now"),
        ("ThrottlingException", UnavailableError, "can't be read now"),
    ],
)
def test_each_error_of_secrets_manager_says_what_to_do(
    error: str, kind: type[Exception], sentence: str
) -> None:
    broken = ClientError({"Error": {"Code": error, "Message": ""}}, "GetSecretValue")

    with pytest.raises(kind, match=sentence):
        UrlSecret(BrokenSecrets(broken), "acme/slack", now=Clock()).url()


def test_a_secrets_manager_out_of_reach_is_asked_later() -> None:
    broken = BrokenSecrets(EndpointConnectionError(endpoint_url="https://x"))

    with pytest.raises(UnavailableError):
        UrlSecret(broken, "acme/slack", now=Clock()).url()
    with pytest.raises(UndeliveredError):
        SecretSlackChannel(UrlSecret(broken, "acme/slack", now=Clock())).deliver(TALE)


def test_a_secret_is_kept_for_five_minutes(cloud: None) -> None:
    clock = Clock()
    secret = a_secret("https://old.example/x", clock)
    secret.url()
    aws("secretsmanager").put_secret_value(SecretId="acme/slack", SecretString="https://new/x")
    clock.pass_seconds(299)
    before = secret.url()
    clock.pass_seconds(1)

    assert before == "https://old.example/x"
    assert secret.url() == "https://new/x"


def test_a_webhook_replaced_after_a_refusal_is_used_at_once(
    cloud: None, slack: SlackStandIn
) -> None:
    with slack_stand_in() as old:
        channel = SecretSlackChannel(a_secret(old.url))
        channel.deliver(TALE)
        aws("secretsmanager").put_secret_value(SecretId="acme/slack", SecretString=slack.url)
        old.script = [Answer(404)] * 2
        channel.deliver(TALE)

    assert len(old.taken) == 1
    assert slack.taken == [slack_message(TALE)]


def test_a_refusal_with_the_same_webhook_stays_one(cloud: None, slack: SlackStandIn) -> None:
    slack.script = [Answer(404)] * 4

    with pytest.raises(RefusedError):
        SecretSlackChannel(a_secret(slack.url)).deliver(TALE)
    assert len(slack.received) == 2


@pytest.mark.parametrize("text", [" ", "http://hooks.slack.com/hush-hush"])
def test_a_secret_of_no_use_is_refused_and_not_repeated(cloud: None, text: str) -> None:
    with pytest.raises(RefusedError) as refused:
        SecretSlackChannel(a_secret(text)).deliver(TALE)
    assert "hush" not in str(refused.value)


def test_a_mail_is_published_with_its_subject(cloud: None) -> None:
    arn = aws("sns").create_topic(Name="mail")["TopicArn"]
    MailTopic(aws("sns"), arn).deliver(TALE)
    topic = sns_backends[DEFAULT_ACCOUNT_ID]["us-east-1"].topics[arn]
    (sent,) = topic.sent_notifications

    assert (sent[2], sent[1]) == (mail(TALE).subject, mail(TALE).body)


class BrokenSns:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def publish(self, **_: object) -> None:
        raise self._error


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("NotFound", RefusedError),
        ("AuthorizationError", RefusedError),
        ("InvalidParameter", RefusedError),
        ("KMSAccessDenied", RefusedError),
        ("Throttled", UndeliveredError),
        ("InternalError", UndeliveredError),
        ("KMSThrottling", UndeliveredError),
    ],
)
def test_each_error_of_sns_says_whether_to_come_again(code: str, kind: type[Exception]) -> None:
    error = ClientError({"Error": {"Code": code, "Message": ""}}, "Publish")

    with pytest.raises(kind, match=code):
        MailTopic(BrokenSns(error), "arn").deliver(TALE)


def test_an_sns_out_of_reach_is_asked_later() -> None:
    with pytest.raises(UndeliveredError):
        MailTopic(BrokenSns(EndpointConnectionError(endpoint_url="https://x")), "arn").deliver(TALE)


def wiring(**settings: str) -> Wiring:
    return Wiring(client=aws, settings=settings, now=Clock())


def test_channels_open_as_they_are_set_up_and_mail_comes_last() -> None:
    both = open_channels(wiring(SLACK_WEBHOOK_SECRET="acme/slack", MAIL_TOPIC_ARN="arn"))
    mail_alone = open_channels(wiring(SLACK_WEBHOOK_SECRET="", MAIL_TOPIC_ARN="arn"))

    assert list(both) == ["slack", "email"]
    assert list(mail_alone) == ["email"]
    with pytest.raises(SettingsError, match="MAIL_TOPIC_ARN"):
        open_channels(wiring(SLACK_WEBHOOK_SECRET=""))


def test_the_table_names_each_channel_once() -> None:
    assert dict(CHANNELS) == {
        "slack": slack_module.open_channel,
        "email": sns_module.open_channel,
    }


def test_a_slack_message_is_json_that_any_webhook_reads(slack: SlackStandIn) -> None:
    SlackChannel(slack.url).deliver(TALE)

    assert json.loads(json.dumps(slack.received[0]))["text"].startswith("warning: ")
