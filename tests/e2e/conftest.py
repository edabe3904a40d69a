"""One sandbox for all tests that need spendfuse deployed, under its real templates and roles."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3.session
import pytest

from spendfuse.sandbox.demo.block import DEMO_BLOCK
from spendfuse.sandbox.demo.report import Report
from spendfuse.sandbox.demo.stage import Deployed, deployed, script

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def report() -> Report:
    return Report(say=print, clock=time.monotonic)


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory, report: Report) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("stage")
    with deployed(script(PROJECT, block=DEMO_BLOCK), folder, report) as ready:
        yield ready


@pytest.fixture(scope="session")
def app(stage: Deployed) -> Iterator[Any]:
    """A DynamoDB client under a role that has the app policy and nothing else."""
    sandbox = stage.sandbox
    iam = sandbox.client("iam")
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{sandbox.running.account}:root"},
        "Action": "sts:AssumeRole",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    role = iam.create_role(RoleName="guarded-app", AssumeRolePolicyDocument=document)["Role"]
    iam.attach_role_policy(RoleName="guarded-app", PolicyArn=stage.outputs["AppPolicyArn"])
    assumed = sandbox.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")
    client = boto3.session.Session(
        aws_access_key_id=assumed["Credentials"]["AccessKeyId"],
        aws_secret_access_key=assumed["Credentials"]["SecretAccessKey"],
        aws_session_token=assumed["Credentials"]["SessionToken"],
        region_name=sandbox.running.region,
    ).client(
        "dynamodb",
        endpoint_url=sandbox.running.endpoint_url,
        verify=sandbox.environment()["AWS_CA_BUNDLE"],
    )
    yield client
    client.close()
