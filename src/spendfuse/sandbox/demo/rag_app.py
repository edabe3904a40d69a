"""The example app, as its users meet it: an HTTPS API behind API keys."""

from __future__ import annotations

import json
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field

from spendfuse.errors import UnavailableError
from spendfuse.sandbox.demo.stage import Deployed

OK, FORBIDDEN = 200, 403
_ANSWER_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Answer:
    sent_at: float
    """By the clock that measures the story."""
    status: int
    cost_nano_usd: int


@dataclass
class RagApp:
    """Asks the app with one of its keys, and keeps count of what it says it cost."""

    deployed: Deployed
    clock: Callable[[], float] = time.monotonic
    answers: list[Answer] = field(default_factory=list)

    def __post_init__(self) -> None:
        sandbox, outputs = self.deployed.sandbox, self.deployed.outputs
        self._keys = {
            name: sandbox.client("apigateway").get_api_key(
                apiKey=outputs[f"{name}KeyId"], includeValue=True
            )["value"]
            for name in ("Web", "OnCall")
        }
        api = f"restapis/{outputs['ApiId']}/prod/_user_request_/ask"
        self._url = f"{sandbox.running.endpoint_url}/{api}"
        trust = ssl.create_default_context(cafile=sandbox.folder.authority)
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust)
        )

    def ask(self, user: str, question: str, document: str = "", *, key: str = "Web") -> Answer:
        """Ask one question; a refusal is an answer too."""
        body = json.dumps({"user": user, "question": question, "document": document}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own URL, https
            self._url, body, {"x-api-key": self._keys[key], "Content-Type": "application/json"}
        )
        sent_at = self.clock()
        try:
            with self._opener.open(request, timeout=_ANSWER_SECONDS) as response:
                cost = json.load(response)["cost_nano_usd"]
                answer = Answer(sent_at, response.status, cost)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != FORBIDDEN:
                    said = error.read().decode(errors="replace")
                    raise UnavailableError(f"the app answered {error.code}: {said}") from error
                answer = Answer(sent_at, error.code, 0)
        self.answers.append(answer)
        return answer

    @property
    def spent_nano_usd(self) -> int:
        return sum(answer.cost_nano_usd for answer in self.answers)

    def crossed_at(self, nano_usd: int) -> float:
        """Return when the request was sent with which the total reached ``nano_usd``."""
        total = 0
        for answer in self.answers:
            total += answer.cost_nano_usd
            if total >= nano_usd:
                return answer.sent_at
        raise UnavailableError(f"the app has not spent {nano_usd} nano-dollars yet")


class Paster(threading.Thread):
    """One user who pastes document after document, until the key is refused."""

    def __init__(self, app: RagApp, document: str, *, most: int, pause_seconds: float) -> None:
        super().__init__(daemon=True, name="paster")
        self._app = app
        self._document = document
        self._most = most
        self._pause = pause_seconds
        self._enough = threading.Event()
        self.pasted = 0
        self.refused_at: float | None = None
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            while self.pasted < self._most and not self._enough.wait(self._pause):
                answer = self._app.ask("user-7", "What does it say?", self._document)
                if answer.status == FORBIDDEN:
                    self.refused_at = answer.sent_at
                    return
                self.pasted += 1
        except Exception as error:  # noqa: BLE001 - told by ``finish``, in the main thread
            self.error = error

    def finish(self, timeout_seconds: float) -> None:
        """Wait until the key was refused or all is pasted.

        Raises:
            UnavailableError: neither within the time; the pasting is stopped.
        """
        self.join(timeout_seconds)
        self._enough.set()
        if self.error is not None:
            raise self.error
        if self.is_alive():
            raise UnavailableError(f"the key still worked after {timeout_seconds:.0f} s")
