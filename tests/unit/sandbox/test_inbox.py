import smtplib
from email.message import EmailMessage

import httpx
import pytest

from spendfuse.errors import InputError, UnavailableError
from spendfuse.sandbox.inbox import Inbox
from spendfuse.sandbox.inbox_client import InboxClient


@pytest.fixture
def inbox():
    with Inbox() as inbox:
        yield inbox


@pytest.fixture
def client(inbox):
    return InboxClient(inbox.url)


def post(url, body, **options):
    return httpx.post(url, json=body, trust_env=False, **options)


def send_mail(inbox, subject="Half is spent"):
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["To"] = subject, "a@example.com", "b@example.com"
    mail.set_content("500 € of 1,000 €\n.\na line after a dot\n")
    with smtplib.SMTP("127.0.0.1", inbox.smtp_port, timeout=5) as smtp:
        smtp.send_message(mail, to_addrs=["b@example.com", "c@example.com"])


def test_slack_messages_are_kept_and_answered_as_slack_does(inbox, client):
    answer = post(inbox.slack_url, {"text": "hello"})

    assert (answer.status_code, answer.text) == (200, "ok")
    assert [(m.channel, m.body) for m in client.messages("slack")] == [("slack", {"text": "hello"})]
    assert client.messages("slack")[0].received_at.endswith("Z")
    assert client.messages("email") == []


def test_what_is_no_json_object_slack_refuses(inbox):
    answer = httpx.post(inbox.slack_url, content=b"hello", trust_env=False)

    assert (answer.status_code, answer.text) == (400, "invalid_payload")
    assert inbox.messages() == []


def test_pagerduty_accepts_an_event_and_returns_its_key(inbox):
    answer = post(inbox.pagerduty_url, {"dedup_key": "main/2026-11"})

    assert (answer.status_code, answer.json()["dedup_key"]) == (202, "main/2026-11")
    assert len(inbox.messages("pagerduty")) == 1


def test_mails_are_kept_with_all_their_recipients(inbox, client):
    send_mail(inbox)

    (mail,) = client.messages("email")
    assert mail.body["subject"] == "Half is spent"
    assert mail.body["to"] == ["b@example.com", "c@example.com"]
    assert mail.body["text"] == "500 € of 1,000 €\n.\na line after a dot\n"


def test_a_refused_message_is_not_delivered_but_listed(inbox, client):
    client.answer("slack", status=429, retry_after=3, times=2)
    answers = [post(inbox.slack_url, {"text": str(number)}) for number in range(3)]

    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "3"
    assert [m.body["text"] for m in client.messages("slack")] == ["2"]
    assert [m.body["text"] for m in client.refused("slack")] == ["0", "1"]


def test_a_fault_is_for_its_channel_alone(inbox, client):
    client.answer("slack", status=500)
    send_mail(inbox)

    assert len(client.messages("email")) == 1


def test_a_mail_can_be_refused_too(inbox):
    inbox.answer("email", status=451)

    with pytest.raises(smtplib.SMTPDataError):
        send_mail(inbox)
    assert (inbox.messages("email"), len(inbox.refused("email"))) == ([], 1)


def test_a_hanging_answer_outlasts_the_clients_patience(inbox):
    inbox.answer("slack", hang_seconds=60)

    with pytest.raises(httpx.ReadTimeout):
        post(inbox.slack_url, {"text": "lost"}, timeout=0.2)
    assert (inbox.messages("slack"), len(inbox.refused("slack"))) == ([], 1)
    assert post(inbox.slack_url, {"text": "again"}).status_code == 200


def test_an_unknown_channel_is_named_with_those_there_are(client):
    with pytest.raises(InputError, match="no channel 'teams'; there are: slack, email, pagerduty"):
        client.answer("teams")


def test_waiting_finds_a_message_that_came_before(inbox, client):
    post(inbox.slack_url, {"text": "hello"})

    assert client.wait_for(lambda m: m.body["text"] == "hello").channel == "slack"


def test_waiting_in_vain_says_what_came_instead(inbox, client):
    post(inbox.slack_url, {"text": "hello"})

    with pytest.raises(UnavailableError, match="the inbox has: slack hello"):
        client.wait_for(lambda m: m.channel == "email", timeout_seconds=0)


def test_clearing_forgets_messages_and_faults(inbox, client):
    post(inbox.slack_url, {"text": "hello"})
    client.answer("slack", status=500)
    client.clear()

    assert client.messages() == []
    assert post(inbox.slack_url, {"text": "new"}).status_code == 200


def test_nobody_listens_after_the_block():
    with Inbox() as inbox:
        client = InboxClient(inbox.url)

    with pytest.raises(UnavailableError, match="does not answer"):
        client.messages()
