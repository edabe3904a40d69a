"""Send plain-text mail to the sandbox's own mail server."""

from __future__ import annotations

import contextlib
import smtplib
from collections.abc import Callable
from email.message import EmailMessage
from email.policy import SMTP

SendMail = Callable[[str, str, str], None]
"""Takes the recipient, the subject and the text."""

_TIMEOUT_SECONDS = 10.0
_TRIES = 3


def mail_sender(port: int, *, sender: str) -> SendMail:
    """Return what sends a mail, trying again where the server refuses for now."""

    def send(recipient: str, subject: str, text: str) -> None:
        mail = EmailMessage(policy=SMTP)
        # A subject is one line; whatever else it holds would be another header.
        mail["Subject"] = " ".join(subject.split())
        mail["From"] = sender
        mail["To"] = recipient
        mail.set_content(text)
        for _ in range(_TRIES - 1):
            with contextlib.suppress(smtplib.SMTPException):
                _send(mail, port)
                return
        _send(mail, port)

    return send


def _send(mail: EmailMessage, port: int) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=_TIMEOUT_SECONDS) as smtp:
        smtp.send_message(mail)
