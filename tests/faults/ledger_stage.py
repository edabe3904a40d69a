"""AWS for a fault run: ministack, microburst before it, and what our stacks would have made.

IAM is off here, because the proxy changes what was signed. All of it listens on loopback alone and
ends with the process that began it, however that ends.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3.session

from spendfuse.definitions import Definitions
from spendfuse.sandbox.leash import leashed

PROJECT = Path(__file__).parents[2]
LOOPBACK, REGION, ACCOUNT = "127.0.0.1", "us-east-1", "111122223333"
START_SECONDS = 60
_KEPT = ("PATH", "HOME", "LANG", "TMPDIR")
"""Nobody's profile, proxy or credentials get in."""


class Aws:
    """The clients of a run, past the proxy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = boto3.session.Session(
            aws_access_key_id=ACCOUNT, aws_secret_access_key="faults", region_name=REGION
        )
        self._clients: dict[str, Any] = {}

    def client(self, service: str) -> Any:
        if service not in self._clients:
            self._clients[service] = self._session.client(service, endpoint_url=self.url)
        return self._clients[service]

    def close(self) -> None:
        for client in self._clients.values():
            client.close()


@dataclass(frozen=True)
class Stage:
    """All that runs, and where it is."""

    aws: Aws
    proxy: str
    folder: Path
    places: Mapping[str, str]
    """Tables, queues and topics by what they are."""

    def environment(self) -> dict[str, str]:
        """Return what a Lambda would find in its environment."""
        nowhere = str(self.folder / "no-such-file")
        return {
            "PYTHONPATH": str(PROJECT),
            "AWS_ENDPOINT_URL": self.proxy,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "faults",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_CONFIG_FILE": nowhere,
            "AWS_SHARED_CREDENTIALS_FILE": nowhere,
            "LEDGER_TABLE": self.places["ledger"],
            "FUSE_TABLE": self.places["fuse"],
            "DEAD_LETTER_QUEUE_URL": self.places["dead_letters"],
            "ALERTS_TOPIC_ARN": self.places["alerts"],
            "TRIPS_TOPIC_ARN": self.places["trips"],
            "MAIL_TOPIC_ARN": self.places["mail"],
        }

    def fail_by(self, rules: list[dict[str, Any]]) -> None:
        """Let AWS fail by these rules from now on."""
        _ask(f"{self.proxy}/_microburst/rules", rules)

    def fired(self) -> Counter[str]:
        """Return how often AWS failed, and how."""
        metrics, name = _ask(f"{self.proxy}/_microburst/metrics"), "microburst_faults_total"
        lines = [each for each in metrics.splitlines() if each.startswith(f"{name}{{")]
        counts = [each.removeprefix(name).rpartition(" ") for each in lines]
        return Counter({labels: int(float(count)) for labels, _, count in counts})


@contextmanager
def staged(folder: Path) -> Iterator[Stage]:
    """Run it all for as long as the block does."""
    with ExitStack() as stack:
        aws = Aws(stack.enter_context(_ministack(folder)))
        stack.callback(aws.close)
        proxy = stack.enter_context(_microburst(aws.url, folder))
        yield Stage(aws, proxy, folder, _made(aws))


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def process(
    command: list[str], environment: dict[str, str], log: Path, **over: Any
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command that ends with the block, and with this process too."""
    with log.open("wb") as output:
        running = subprocess.Popen(
            leashed(command),
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | environment,
            stdin=subprocess.PIPE,
            stderr=output,
            **({"stdout": output} | over),
        )
        try:
            yield running
        finally:
            if running.stdin:
                running.stdin.close()
            running.wait(30)
            if running.stdout:
                running.stdout.close()


@contextmanager
def _ministack(folder: Path) -> Iterator[str]:
    port = _free_port()
    environment = {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": LOOPBACK,
        "MINISTACK_HOST": "localhost",
        "MINISTACK_ACCOUNT_ID": ACCOUNT,
        "MINISTACK_REGION": REGION,
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "DOCKER_HOST": f"unix://{folder / 'no-docker'}",
        "LOG_LEVEL": "WARNING",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    url = f"http://{LOOPBACK}:{port}"
    with process([sys.executable, "-m", "ministack"], environment, folder / "ministack.log"):
        until(lambda: _answers(f"{url}/_ministack/health"), time.monotonic() + START_SECONDS, url)
        yield url


@contextmanager
def _microburst(upstream: str, folder: Path) -> Iterator[str]:
    port = _free_port()
    command = [sys.executable, "-m", "microburst", "--upstream", upstream, "--port", str(port)]
    url = f"http://{LOOPBACK}:{port}"
    with process(command, {}, folder / "microburst.log"):
        until(lambda: _answers(f"{url}/_microburst/health"), time.monotonic() + START_SECONDS, url)
        yield url


def asset_of(folder: Path, definitions: Definitions) -> Path:
    """Return what stands in for the Lambdas' asset: their code, with the run's definitions."""
    asset = folder / "asset"
    asset.mkdir()
    (asset / "lambdas").symlink_to(PROJECT / "lambdas")
    (asset / "spendfuse").symlink_to(PROJECT / "src" / "spendfuse")
    (asset / "definitions.json").write_text(definitions.to_json(), encoding="utf-8")
    return asset


def _made(aws: Aws) -> dict[str, str]:
    dynamodb, sqs, sns = (aws.client(each) for each in ("dynamodb", "sqs", "sns"))
    keys = (("pk", "HASH"), ("sk", "RANGE"))
    for name in ("ledger", "fuse"):
        dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": each, "KeyType": kind} for each, kind in keys],
            AttributeDefinitions=[
                {"AttributeName": each, "AttributeType": "S"} for each, _ in keys
            ],
            BillingMode="PAY_PER_REQUEST",
        )
    urls = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("dead", "rang")}
    arns = {name: _arn_of(sqs, url) for name, url in urls.items()}
    redrive = json.dumps({"deadLetterTargetArn": arns["dead"], "maxReceiveCount": 100})
    queue = sqs.create_queue(QueueName="usage", Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    topics = {name: sns.create_topic(Name=name)["TopicArn"] for name in ("alerts", "trips", "mail")}
    for name in ("alerts", "trips"):
        sns.subscribe(
            TopicArn=topics[name],
            Protocol="sqs",
            Endpoint=arns["rang"],
            Attributes={"RawMessageDelivery": "true"},
        )
    return {
        "ledger": "ledger",
        "fuse": "fuse",
        "queue": queue,
        "dead_letters": urls["dead"],
        "rang": urls["rang"],
        **topics,
    }


def _arn_of(sqs: Any, url: str) -> str:
    answer = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    arn: str = answer["Attributes"]["QueueArn"]
    return arn


def _ask(url: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers={"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as answer:
        text: str = answer.read().decode()
        return text


def _answers(url: str) -> bool:
    try:
        _ask(url)
    except OSError:
        return False
    return True


def until(holds: Callable[[], bool], deadline: float, otherwise: str) -> None:
    """Wait until it holds.

    Raises:
        TimeoutError: it did not until the deadline.
    """
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.2)
