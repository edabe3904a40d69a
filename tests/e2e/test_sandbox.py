"""The sandbox itself: the real CLI deploys into it, it does what AWS would, and it goes."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
import zipfile
from pathlib import Path

import boto3.session
import pytest
from botocore.exceptions import ClientError

from spendfuse.errors import InputError, SettingsError
from spendfuse.sandbox import cdk
from spendfuse.sandbox.folder import Folder
from spendfuse.sandbox.machine import Sandbox

pytestmark = pytest.mark.e2e
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="looks at processes through Linux's /proc"
)

PROJECT = Path(__file__).parents[2]
APP = f"{sys.executable} {Path(__file__).parent / 'sandbox_app.py'}"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox.start(tmp_path_factory.mktemp("sandbox")) as sandbox:
        cdk.bootstrap(sandbox, project=PROJECT)
        yield sandbox


def deploy(sandbox, **context):
    output = sandbox.folder.path / "cdk.out"
    return cdk.deploy(sandbox, APP, project=PROJECT, context=context, output=output)["try"]


@pytest.fixture(scope="module")
def deployed(sandbox):
    return deploy(sandbox)


@pytest.fixture(scope="module")
def overspent(sandbox, deployed):
    return sandbox.player.spend(deployed["BudgetName"], actual_usd="960")


def eventually(found, seconds=30):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)
    return value


def budget_names(sandbox):
    budgets = sandbox.client("budgets").describe_budgets(AccountId=sandbox.running.account)
    return [each["BudgetName"] for each in budgets["Budgets"]]


def listeners(processes):
    """Every (address, port) on which one of the processes listens."""
    links = [each for process in processes for each in Path(f"/proc/{process}/fd").iterdir()]
    targets = {str(link.readlink()) for link in links if link.is_symlink()}
    inodes = {each.removeprefix("socket:[").removesuffix("]") for each in targets}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((table, address, int(port, 16)))
    return found


def family(process):
    """The process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children")
    below = [int(each) for each in children.read_text().split()] if children.exists() else []
    return [process, *(each for child in below for each in family(child))]


def is_alive(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def refuses_connections(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


# What is deployed works as on AWS


def test_a_published_message_arrives_as_mail(sandbox, overspent):
    mail = sandbox.inbox.wait_for(lambda m: "team@example.com" in m.body.get("to", ()))

    assert mail.body["subject"].startswith("AWS Budgets: try-")
    assert "ACTUAL Amount: $960.00" in mail.body["text"]


def test_the_budgets_own_mail_subscribers_get_every_rung(sandbox, overspent):
    to_the_boss = [each for each in overspent["fired"] if each["to"] == "boss@example.com"]

    assert len(to_the_boss) == 3
    assert eventually(
        lambda: (
            sum("boss@example.com" in m.body["to"] for m in sandbox.inbox.messages("email")) == 3
        )
    )


def test_a_topic_that_lets_budgets_publish_is_published_to(overspent):
    topics = [each["to"] for each in overspent["fired"] if each["to"].startswith("arn:")]

    assert [topic.split(":try-")[1][:8] for topic in topics] == ["Allowing"]


def test_what_a_policy_refuses_is_dropped_and_says_why(overspent):
    dropped = {each["to"].split(":try-")[1][:6]: each["why"] for each in overspent["dropped"]}

    assert "does not let budgets.amazonaws.com publish" in dropped["Denyin"]
    assert "denies budgets.amazonaws.com kms:Decrypt" in dropped["Locked"]


def test_a_notification_fires_once_in_a_period(sandbox, deployed, overspent):
    again = sandbox.player.spend(deployed["BudgetName"], actual_usd="970")

    assert again == {"fired": [], "dropped": []}


def test_lambdas_run_from_their_zip_with_nothing_of_ours_beside_it(sandbox, deployed, overspent):
    table = {"TableName": deployed["TableName"]}
    (item,) = eventually(lambda: sandbox.client("dynamodb").scan(**table)["Items"])

    assert "ACTUAL Amount: $960.00" in item["text"]["S"]
    assert item["sees_spendfuse"] == {"BOOL": False}
    assert item["sees_slack_sdk"] == {"BOOL": False}


def test_an_unknown_budget_is_named_with_those_there_are(sandbox, deployed):
    with pytest.raises(
        InputError, match=f"no AWS budget 'none'; there are: .*{budget_names(sandbox)[0]}"
    ):
        sandbox.player.spend("none", actual_usd="1")


# Budgets follow CloudFormation's rules


def test_a_changed_rung_under_a_hashed_name_makes_a_new_budget(sandbox, deployed, overspent):
    changed = deploy(sandbox, percent=70)

    assert changed["BudgetName"] != deployed["BudgetName"]
    assert budget_names(sandbox) == [changed["BudgetName"]]


def test_a_changed_rung_under_a_fixed_name_fails_with_cloudformations_reason(sandbox, deployed):
    deploy(sandbox, fixed_name="true")

    with pytest.raises(cdk.DeployError, match="fixed - the budget already exists"):
        deploy(sandbox, fixed_name="true", percent=60)
    assert budget_names(sandbox) == ["fixed"]


def test_a_second_topic_on_a_rung_is_refused(sandbox):
    topic = {"SubscriptionType": "SNS", "Address": "arn:aws:sns:us-east-1:111122223333:a"}
    rung = {
        "NotificationType": "ACTUAL",
        "ComparisonOperator": "GREATER_THAN",
        "Threshold": 80,
    }
    limit = {"Amount": "1", "Unit": "USD"}
    budget = {"BudgetName": "b", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": limit}

    with pytest.raises(ClientError, match="CreationLimitExceededException"):
        sandbox.client("budgets").create_budget(
            AccountId=sandbox.running.account,
            Budget=budget,
            NotificationsWithSubscribers=[
                {"Notification": rung, "Subscribers": [topic, {**topic, "Address": "b"}]}
            ],
        )


# API keys


@pytest.fixture
def key(sandbox):
    gateway = sandbox.client("apigateway")
    key = gateway.create_api_key(name="mine", enabled=True, tags={"spendfuse:fuse": "main"})
    yield key
    gateway.delete_api_key(apiKey=key["id"])


def patch(gateway, key, enabled):
    operation = {"op": "replace", "path": "/enabled", "value": enabled}
    return gateway.update_api_key(apiKey=key["id"], patchOperations=[operation])


def test_a_disabled_key_reads_as_disabled(sandbox, key):
    assert patch(sandbox.client("apigateway"), key, "false")["enabled"] is False
    assert patch(sandbox.client("apigateway"), key, "true")["enabled"] is True


def test_a_list_of_keys_keeps_their_values_back(sandbox, key):
    gateway = sandbox.client("apigateway")

    assert all("value" not in each for each in gateway.get_api_keys()["items"])
    assert all("value" in each for each in gateway.get_api_keys(includeValues=True)["items"])


def test_a_policy_that_names_a_tag_reaches_the_tagged_keys_alone(sandbox, key):
    gateway = sandbox.client("apigateway")
    foreign = gateway.create_api_key(name="foreign", enabled=True)
    mine_only = {"StringEquals": {"aws:ResourceTag/spendfuse:fuse": "main"}}
    as_role = client_of_role(
        sandbox,
        "apigateway",
        allow("apigateway:PATCH", "arn:aws:apigateway:us-east-1::/apikeys/*", Condition=mine_only),
    )

    assert patch(as_role, key, "false")["enabled"] is False
    with pytest.raises(ClientError, match="AccessDenied"):
        patch(as_role, foreign, "false")


# Roles need what they need on AWS


def allow(action, resource, **rest):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **rest}


def a_role(sandbox, *statements):
    iam = sandbox.client("iam")
    name = f"role-{uuid.uuid4().hex[:8]}"
    root = f"arn:aws:iam::{sandbox.running.account}:root"
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": root, "Service": "lambda.amazonaws.com"},
        "Action": "sts:AssumeRole",
    }
    role = iam.create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
    )
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_role_policy(RoleName=name, PolicyName="policy", PolicyDocument=document)
    return role["Role"]["Arn"]


def client_of_role(sandbox, service, *statements):
    role = a_role(sandbox, *statements)
    assumed = sandbox.client("sts").assume_role(RoleArn=role, RoleSessionName="test")
    credentials = assumed["Credentials"]
    return boto3.session.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=sandbox.running.region,
    ).client(
        service,
        endpoint_url=sandbox.running.endpoint_url,
        verify=sandbox.environment()["AWS_CA_BUNDLE"],
    )


@pytest.fixture(scope="module")
def encrypted_topic(sandbox):
    key = sandbox.client("kms").create_key()["KeyMetadata"]["Arn"]
    topic = sandbox.client("sns").create_topic(Name="own", Attributes={"KmsMasterKeyId": key})
    return topic["TopicArn"], key


def test_publishing_to_an_encrypted_topic_needs_its_key(sandbox, encrypted_topic):
    topic, key = encrypted_topic
    publish = allow("sns:Publish", topic)
    with_key = allow(["kms:Decrypt", "kms:GenerateDataKey*"], key)

    client_of_role(sandbox, "sns", publish, with_key).publish(TopicArn=topic, Message="hello")
    with pytest.raises(ClientError, match="KMSAccessDenied"):
        client_of_role(sandbox, "sns", publish).publish(TopicArn=topic, Message="hello")


@pytest.mark.parametrize("missing", ["ReceiveMessage", "DeleteMessage", "GetQueueAttributes"])
def test_a_function_reads_a_queue_only_if_its_role_may(sandbox, missing):
    name = f"f-{uuid.uuid4().hex[:8]}"
    sandbox.client("sqs").create_queue(QueueName=name)
    queue = f"arn:aws:sqs:us-east-1:{sandbox.running.account}:{name}"
    actions = {"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"} - {missing}
    role = a_role(sandbox, allow([f"sqs:{each}" for each in sorted(actions)], queue))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as code:
        code.writestr("code.py", "")
    functions = sandbox.client("lambda")
    functions.create_function(
        FunctionName=name,
        Role=role,
        Runtime="python3.14",
        Handler="code.handler",
        Code={"ZipFile": archive.getvalue()},
    )

    with pytest.raises(ClientError, match=f"may not sqs:{missing} on"):
        functions.create_event_source_mapping(FunctionName=name, EventSourceArn=queue)


# What it leaves behind


@needs_proc
def test_it_listens_on_loopback_only(sandbox):
    found = listeners(family(sandbox.running.process))

    assert {address for _, address, _ in found} == {"0100007F"}
    assert sandbox.running.port in {port for *_, port in found}


@needs_proc
def test_stopping_leaves_no_process_and_no_port(tmp_path):
    sandbox = Sandbox.start(tmp_path)
    processes = family(sandbox._leash.pid)
    sandbox.stop()

    assert not any(is_alive(each) for each in processes)
    assert refuses_connections(sandbox.running.port)
    assert not Folder(tmp_path).state.exists()
    assert not Folder(tmp_path).temporary.exists()


@needs_proc
def test_a_parent_that_is_killed_outright_takes_its_sandbox_with_it(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from spendfuse.sandbox.machine import Sandbox\n"
        f"sandbox = Sandbox.start(pathlib.Path({str(tmp_path)!r}))\n"
        "print(sandbox._leash.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        processes = family(int(parent.stdout.readline()))
        parent.kill()

    assert len(processes) >= 2
    assert eventually(lambda: not any(is_alive(each) for each in processes))


@needs_proc
def test_a_server_that_is_killed_outright_takes_its_lambdas_with_it(tmp_path):
    with Sandbox.start(tmp_path) as sandbox:
        processes = family(sandbox._leash.pid)
        os.kill(sandbox.running.process, signal.SIGKILL)

        assert eventually(lambda: not any(is_alive(each) for each in processes))
        assert Folder(tmp_path).running() is None


# Starting, finding, stopping


def test_a_second_sandbox_in_the_folder_is_told_of_the_first(sandbox):
    with pytest.raises(SettingsError) as refused:
        Sandbox.start(sandbox.folder.path)

    assert f"(process {sandbox.running.process}); stop it with" in str(refused.value)
    sandbox.check()


def test_a_taken_port_is_named(sandbox, tmp_path):
    with pytest.raises(SettingsError, match=f"port {sandbox.running.port} of 127.0.0.1 can't be"):
        Sandbox.start(tmp_path, port=sandbox.running.port)


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SettingsError, match=r"can't write to .*file"):
        Sandbox.start(tmp_path / "file" / "sandbox")


def test_a_detached_sandbox_is_found_and_stopped_by_others(tmp_path):
    started = Sandbox.start(tmp_path, detached=True)
    found = Sandbox.attach(tmp_path)
    found.stop()

    assert found.running == started.running
    assert refuses_connections(started.running.port)
    with pytest.raises(SettingsError, match="no sandbox runs in"):
        Sandbox.attach(tmp_path)


def test_a_stale_state_file_is_no_sandbox(tmp_path):
    sandbox = Sandbox.start(tmp_path)
    sandbox.stop()
    Folder(tmp_path).write_state(sandbox.running)

    assert Folder(tmp_path).running() is None
    with Sandbox.start(tmp_path) as again:
        assert again.running.token != sandbox.running.token
