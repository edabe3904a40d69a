"""The sandbox says no where AWS would: policies, tags, keys, and alarms' topics."""

import io
import json
import ssl
import uuid
import zipfile

import boto3.session
import httpx
import pytest
from botocore.exceptions import ClientError
from e2e.sandbox_probes import eventually

from spendfuse.sandbox.machine import Sandbox

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox.start(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


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


@pytest.fixture(scope="module")
def api(sandbox):
    """An API's id, whose one method wants a key and answers from a mock."""
    gateway = sandbox.client("apigateway")
    api = gateway.create_rest_api(name="api")["id"]
    method = {
        "restApiId": api,
        "resourceId": gateway.get_resources(restApiId=api)["items"][0]["id"],
        "httpMethod": "GET",
    }
    gateway.put_method(**method, authorizationType="NONE", apiKeyRequired=True)
    to_200 = {"application/json": '{"statusCode": 200}'}
    gateway.put_integration(**method, type="MOCK", requestTemplates=to_200)
    gateway.put_method_response(**method, statusCode="200")
    gateway.put_integration_response(**method, statusCode="200")
    gateway.create_deployment(restApiId=api, stageName="prod")
    return api


def call(sandbox, api, key):
    trust = ssl.create_default_context(cafile=sandbox.environment()["AWS_CA_BUNDLE"])
    url = f"{sandbox.running.endpoint_url}/restapis/{api}/prod/_user_request_/"
    return httpx.get(url, headers={"x-api-key": key}, verify=trust, trust_env=False).status_code


def test_a_disabled_key_is_refused_until_it_is_enabled(sandbox, api, key):
    gateway = sandbox.client("apigateway")
    stages = [{"apiId": api, "stage": "prod"}]
    plan = gateway.create_usage_plan(name=f"plan-{key['id']}", apiStages=stages)["id"]
    gateway.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")

    assert call(sandbox, api, key["value"]) == 200
    patch(gateway, key, "false")
    assert call(sandbox, api, key["value"]) == 403
    patch(gateway, key, "true")
    assert call(sandbox, api, key["value"]) == 200


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


# Alarms


def an_alarm(sandbox, topic, **changes):
    name = f"alarm-{uuid.uuid4().hex[:8]}"
    alarm = {
        "AlarmName": name,
        "Namespace": "Try",
        "MetricName": "Used",
        "Dimensions": [{"Name": "Budget", "Value": name}],
        "Statistic": "Maximum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 80,
        "ComparisonOperator": "GreaterThanThreshold",
        "AlarmActions": [topic],
    }
    sandbox.client("cloudwatch").put_metric_alarm(**{**alarm, **changes})
    return name


def a_topic_with_a_queue(sandbox, statement=None):
    name = f"t-{uuid.uuid4().hex[:8]}"
    sns, account = sandbox.client("sns"), sandbox.running.account
    topic = sns.create_topic(Name=name)["TopicArn"]
    if statement is not None:
        policy = json.dumps(
            {"Version": "2012-10-17", "Statement": [{**statement, "Resource": topic}]}
        )
        sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=policy)
    queue = f"arn:aws:sqs:us-east-1:{account}:{name}"
    letting_in = allow("sqs:SendMessage", queue, Principal={"Service": "sns.amazonaws.com"})
    url = sandbox.client("sqs").create_queue(
        QueueName=name,
        Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [letting_in]})},
    )["QueueUrl"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
    return topic, url


def put_metric(sandbox, budget, value):
    dimensions = [{"Name": "Budget", "Value": budget}]
    datum = {"MetricName": "Used", "Value": value, "Dimensions": dimensions}
    sandbox.client("cloudwatch").put_metric_data(Namespace="Try", MetricData=[datum])


def alarm_state(sandbox, name):
    found = sandbox.client("cloudwatch").describe_alarms(AlarmNames=[name])
    return found["MetricAlarms"][0]["StateValue"]


def received(sandbox, url):
    messages = sandbox.client("sqs").receive_message(QueueUrl=url, WaitTimeSeconds=1)
    return [json.loads(each["Body"]) for each in messages.get("Messages", [])]


CLOUDWATCH = {
    "Effect": "Allow",
    "Action": "sns:Publish",
    "Principal": {"Service": "cloudwatch.amazonaws.com"},
}


def test_a_role_publishes_metrics_only_into_the_namespace_of_its_policy(sandbox):
    ours = {"StringEquals": {"cloudwatch:namespace": "Ours"}}
    metrics = client_of_role(
        sandbox, "cloudwatch", allow("cloudwatch:PutMetricData", "*", Condition=ours)
    )
    data = [{"MetricName": "Used", "Value": 1}]

    metrics.put_metric_data(Namespace="Ours", MetricData=data)
    with pytest.raises(ClientError, match="AccessDenied"):
        metrics.put_metric_data(Namespace="Theirs", MetricData=data)


def test_an_alarm_looks_at_its_own_dimensions_and_publishes_where_it_may(sandbox):
    topic, url = a_topic_with_a_queue(sandbox, CLOUDWATCH)
    alarm = an_alarm(sandbox, topic)
    put_metric(sandbox, "another", 99)
    put_metric(sandbox, alarm, 10)
    assert alarm_state(sandbox, alarm) == "OK"
    put_metric(sandbox, alarm, 81)

    (message,) = eventually(lambda: received(sandbox, url))
    assert json.loads(message["Message"])["AlarmName"] == alarm


def test_an_alarm_that_no_policy_lets_in_is_not_heard(sandbox):
    other = {**CLOUDWATCH, "Principal": {"Service": "budgets.amazonaws.com"}}
    topic, url = a_topic_with_a_queue(sandbox, other)
    alarm = an_alarm(sandbox, topic)
    put_metric(sandbox, alarm, 81)

    assert alarm_state(sandbox, alarm) == "ALARM"
    assert received(sandbox, url) == []
