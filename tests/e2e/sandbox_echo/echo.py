"""Writes each message's subject into the table, and what this Lambda could import."""

import importlib.util
import json
import os

import boto3


def handler(event, _context):
    table = boto3.resource("dynamodb").Table(os.environ["TABLE"])
    for record in event["Records"]:
        message = json.loads(record["body"])
        table.put_item(
            Item={
                "pk": message["Subject"],
                "text": message["Message"],
                "sees_spendfuse": importlib.util.find_spec("spendfuse") is not None,
                "sees_slack_sdk": importlib.util.find_spec("slack_sdk") is not None,
                "home": os.environ.get("HOME", ""),
            }
        )
