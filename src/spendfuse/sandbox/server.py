"""The sandbox's one server process: ministack, our mends, and the doors for tests.

It listens on loopback only and says on stdout, in one line of JSON, how it can be reached or
why it can't start. It ends when it is signalled and when its stdin reaches its end, and takes
the Lambda workers with it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from spendfuse.clock import utc_now
from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.sandbox.certificates import Certificates, make_certificates
from spendfuse.sandbox.folder import Folder, Running, disk_error
from spendfuse.sandbox.inbox import Inbox
from spendfuse.sandbox.mail import mail_sender

LOOPBACK = "127.0.0.1"
_BACKLOG = 256
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop; return 1 when it could not start."""
    options = _options(arguments)
    folder = Folder(options.folder)
    try:
        folder.make()
        with folder.locked():
            _serve(folder, options)
    except SpendfuseError as error:
        _say({"error": str(error), "retry": isinstance(error, UnavailableError)})
    except OSError as error:
        _say({"error": str(disk_error(folder.path, error)), "retry": error.errno == errno.ENOSPC})
    return 1


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="spendfuse.sandbox.server")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="0 takes any free port")
    parser.add_argument("--account", required=True)
    parser.add_argument("--region", required=True)
    return parser.parse_args(arguments)


def _say(line: dict[str, object]) -> None:
    """Answer whoever started us; after this, whatever is printed goes to the log."""
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _serve(folder: Folder, options: argparse.Namespace) -> None:
    # The log is of this run, and only whoever holds the folder may begin it anew.
    os.truncate(folder.log, 0)
    shutil.rmtree(folder.temporary, ignore_errors=True)
    folder.make()
    listener = _listener(options.port)
    port: int = listener.getsockname()[1]
    certificates = make_certificates(folder.certificates, now=utc_now())
    with Inbox() as inbox:
        running = Running(
            process=os.getpid(),
            token=secrets.token_hex(8),
            port=port,
            account=options.account,
            region=options.region,
            inbox_url=inbox.url,
            smtp_port=inbox.smtp_port,
        )
        os.environ.update(emulator_environment(running, certificates))
        asyncio.run(_run(folder, running, listener, certificates))


def _listener(port: int) -> socket.socket:
    """Bind before anything else is done: a port that we hold can't be taken meanwhile."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"port {port} of {LOOPBACK} can't be used ({error.strerror}); "
            "choose another, or none to take any free one"
        ) from error
    return listener


def emulator_environment(running: Running, certificates: Certificates) -> dict[str, str]:
    """Return the emulator's settings; it reads them when it is imported.

    The Lambda workers inherit them too, which is how they find the sandbox and trust it.
    """
    return {
        "GATEWAY_PORT": str(running.port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": running.account,
        "MINISTACK_REGION": running.region,
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(certificates.chain),
        "MINISTACK_SSL_KEY": str(certificates.key),
        "LAMBDA_EXECUTOR": "local",
        # What would open doors of its own, or look for Docker's.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{certificates.key.parent / 'no-docker'}",
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_CA_BUNDLE": str(certificates.authority),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


async def _run(
    folder: Folder, running: Running, listener: socket.socket, certificates: Certificates
) -> None:
    # The emulator and its server read the environment when they are imported.
    from hypercorn.asyncio import serve  # noqa: PLC0415
    from hypercorn.config import Config  # noqa: PLC0415
    from ministack.app import app as aws  # noqa: PLC0415
    from ministack.core import lambda_runtime  # noqa: PLC0415

    from spendfuse.sandbox import mends  # noqa: PLC0415
    from spendfuse.sandbox.aws_player import SENDER, AwsPlayer  # noqa: PLC0415
    from spendfuse.sandbox.door import Door  # noqa: PLC0415

    mends.apply(folder, running)
    send_mail = mail_sender(running.smtp_port, sender=SENDER)
    door = Door(running, AwsPlayer(running.account, running.region, send_mail), utc_now)

    # Whoever finds it now waits in the listener's queue for the first answer.
    folder.write_state(running)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.certfile = str(certificates.chain)
    config.keyfile = str(certificates.key)
    config.keep_alive_timeout = 75
    config.graceful_timeout = 0.5
    config.errorlog = logging.getLogger("spendfuse.sandbox")
    try:
        await serve(
            _front(aws, door, ready=lambda: _say(asdict(running))),
            config,
            shutdown_trigger=_told_to_stop(),
        )
    finally:
        lambda_runtime.reset()
        folder.state.unlink(missing_ok=True)
        shutil.rmtree(folder.temporary, ignore_errors=True)
        # The emulator's threads may be in a long poll, and asyncio would wait for them.
        os._exit(0)


Asgi = Callable[[Any, Any, Any], Awaitable[None]]


def _front(aws: Asgi, door: Asgi, *, ready: Callable[[], None]) -> Asgi:
    """Return the app that answers for ``/_spendfuse/`` and passes on all else to AWS."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def send_and_tell(message: Any) -> None:
            await send(message)
            if message["type"] == "lifespan.startup.complete":
                ready()

        if scope["type"] == "lifespan":
            await aws(scope, receive, send_and_tell)
        elif scope["type"] == "http" and scope["path"].startswith("/_spendfuse/"):
            await door(scope, receive, send)
        else:
            await aws(scope, receive, send)

    return app


def _told_to_stop() -> Callable[[], Awaitable[None]]:
    """Return what to wait for: a signal, or the end of our stdin."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _ENDING_SIGNALS:
        loop.add_signal_handler(number, stop.set)

    def watch_lifeline() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch_lifeline, name="lifeline", daemon=True).start()

    async def told() -> None:
        await stop.wait()

    return told


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
