"""The inbox's mail server, SMTP on any free port of 127.0.0.1."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from spendfuse.sandbox.messages import Messages

LOOPBACK = "127.0.0.1"


class MailServer:
    """Keeps every mail that arrives."""

    def __init__(self, messages: Messages) -> None:
        self._controller: _AnyFreePort | None = None
        self._messages = messages

    @property
    def port(self) -> int:
        """0 while it does not listen."""
        return self._controller.port if self._controller else 0

    def start(self) -> None:
        """Listen, on a thread of its own."""
        self._controller = _AnyFreePort(_Mailbox(self._messages))
        self._controller.start()

    def stop(self) -> None:
        """Stop listening."""
        if self._controller is not None:
            self._controller.stop(no_assert=True)
            self._controller = None


class _AnyFreePort(Controller):
    """aiosmtpd's own controller wants the port in advance; this one binds first."""

    def __init__(self, mailbox: _Mailbox) -> None:
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind((LOOPBACK, 0))
        super().__init__(mailbox, hostname=LOOPBACK, port=self._listener.getsockname()[1])

    def _create_server(self) -> Any:
        return self.loop.create_server(self._factory_invoker, sock=self._listener)


class _Mailbox:
    def __init__(self, messages: Messages) -> None:
        self._messages = messages

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        fault = self._messages.arrive("email", mail_body(envelope.content, envelope.rcpt_tos))
        if fault is None:
            return "250 OK"
        await asyncio.sleep(fault.hang_seconds)
        return f"{fault.status} refused"


def mail_body(content: bytes, recipients: list[str]) -> dict[str, Any]:
    """Return the parts of a mail that alerts are judged by."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)  # noqa: S101 - the policy makes nothing else
    text = mail.get_body(("plain",))
    return {
        "subject": str(mail["subject"]).strip(),
        "from": str(mail["from"]),
        "to": list(recipients),
        "text": text.get_content().replace("\r\n", "\n") if text is not None else "",
    }
