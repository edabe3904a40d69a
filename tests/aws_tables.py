"""Tables and clients that tests make in moto, shaped as our stacks make them."""

from __future__ import annotations

from typing import Any

import boto3

REGION = "us-east-1"


def aws(service: str) -> Any:
    return boto3.client(
        service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test"
    )


def make_table(name: str) -> str:
    aws("dynamodb").create_table(
        TableName=name,
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    return name


def make_queue(name: str) -> str:
    url: str = aws("sqs").create_queue(QueueName=name)["QueueUrl"]
    return url
