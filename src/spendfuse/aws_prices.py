"""What AWS asks for the services that spendfuse stands on: one dated table.

Used by ``spendfuse estimate`` and by the dashboard's widget on the toolkit's own cost. List prices
of us-east-1, at the first step of each price's scale, without the free tier.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from spendfuse.money import EXACT

PRICES_DATE = "2026-06-13"
"""When the newest of the sources was written; each price names its own."""
PRICES_REGION = "us-east-1"

REMEMBERED = "remembered; no stored source gives the figure"


@dataclass(frozen=True, slots=True)
class Price:
    """``usd`` dollars for each ``per`` of ``unit``."""

    service: str
    unit: str
    usd: Decimal
    per: int
    source: str

    def of(self, quantity: Decimal | int) -> Decimal:
        """Return what the quantity costs in dollars, exactly."""
        return EXACT.divide(EXACT.multiply(self.usd, Decimal(quantity)), Decimal(self.per))


_LAMBDA = "https://cloudchipr.com/blog/aws-lambda-pricing"
_DYNAMODB = "https://airbyte.com/data-engineering-resources/dynamodb-pricing"
_SQS = "https://www.factualminds.com/blog/amazon-sqs-pricing-64kb-rule-fifo-vs-standard/"
_SNS = "https://www.factualminds.com/blog/amazon-sns-pricing-publishes-fanout-protocols/"
_CLOUDWATCH = (
    "https://github.com/api-evangelist/cloudwatch/blob/main/plans/cloudwatch-plans-pricing.yml"
)
_DASHBOARDS = (
    "https://www.factualminds.com/blog/amazon-cloudwatch-pricing-metrics-logs-alarms-dashboards/"
)
_INSIGHTS = "https://www.factualminds.com/blog/aws-observability-finops-cardinality-cost-control/"
_KMS = "https://www.factualminds.com/blog/aws-kms-pricing-keys-requests-multi-region/"
_SCHEDULER = "https://cloudburn.io/blog/amazon-eventbridge-pricing"

LAMBDA_GB_SECOND = Price("Lambda", "GB-second, arm64", Decimal("0.0000133334"), 1, _LAMBDA)
LAMBDA_REQUEST = Price(
    "Lambda",
    "request",
    Decimal("0.20"),
    1_000_000,
    "https://git.mcrn.ar/mariano/lambda_local_runner (docs/lambdas-md/lambda-13-cost.md)",
)

# A transaction pays two units where a plain write pays one; a unit is 1 KB written, 4 KB read.
DYNAMODB_WRITE = Price("DynamoDB", "write unit", Decimal("0.625"), 1_000_000, _DYNAMODB)
DYNAMODB_READ = Price("DynamoDB", "read unit", Decimal("0.125"), 1_000_000, _DYNAMODB)
DYNAMODB_STORAGE = Price(
    "DynamoDB", "GB stored", Decimal("0.25"), 1, "https://aws.amazon.com/dynamodb/pricing/"
)
DYNAMODB_RECOVERY = Price("DynamoDB", "GB under recovery", Decimal("0.20"), 1, REMEMBERED)
DYNAMODB_STREAM_READ = Price(
    "DynamoDB", "stream read by Lambda", Decimal(0), 1, f"free for triggers; {REMEMBERED}"
)

SQS_REQUEST = Price("SQS", "request", Decimal("0.40"), 1_000_000, _SQS)
SQS_CHUNK_BYTES = 64 * 1024
"""Each begun 64 KB of a request's payload is a request; https://cloudburn.io/blog/amazon-sqs-pricing"""
SNS_PUBLISH = Price("SNS", "publish", Decimal("0.50"), 1_000_000, _SNS)
SNS_EMAIL = Price("SNS", "e-mail", Decimal("2.00"), 100_000, _SNS)
SNS_TO_SQS = Price("SNS", "delivery to SQS", Decimal(0), 1, f"free; {REMEMBERED}")

METRIC = Price("CloudWatch", "custom metric", Decimal("0.30"), 1, _CLOUDWATCH)
"""A month; metrics that had data in a part of it pay for their hours."""
METRIC_REQUEST = Price("CloudWatch", "PutMetricData call", Decimal("0.01"), 1_000, _CLOUDWATCH)
METRIC_READ = Price("CloudWatch", "metric in GetMetricData", Decimal("0.01"), 1_000, _CLOUDWATCH)
LIST_METRICS = Price("CloudWatch", "ListMetrics call", Decimal("0.01"), 1_000, _CLOUDWATCH)
ALARM_METRIC = Price("CloudWatch", "metric in an alarm", Decimal("0.10"), 1, _CLOUDWATCH)
COMPOSITE_ALARM = Price("CloudWatch", "composite alarm", Decimal("0.50"), 1, REMEMBERED)
ANOMALY_ALARM_METRICS = 3
"""An alarm on an anomaly band is charged as three metrics: itself and the band's two edges."""
DASHBOARD = Price("CloudWatch", "dashboard", Decimal("3.00"), 1, _DASHBOARDS)
LOGS_INGESTED = Price("CloudWatch", "GB of log", Decimal("0.50"), 1, _CLOUDWATCH)
LOGS_STORED = Price("CloudWatch", "GB of log kept", Decimal("0.03"), 1, _CLOUDWATCH)
LOGS_SCANNED = Price("CloudWatch", "GB of log searched", Decimal("0.005"), 1, _INSIGHTS)

KMS_KEY = Price("KMS", "key", Decimal("1.00"), 1, _KMS)
KMS_REQUEST = Price("KMS", "request", Decimal("0.03"), 10_000, _KMS)
SECRET = Price("Secrets Manager", "secret", Decimal("0.40"), 1, REMEMBERED)
SECRET_CALL = Price("Secrets Manager", "call", Decimal("0.05"), 10_000, REMEMBERED)
SCHEDULE_RUN = Price("EventBridge Scheduler", "run", Decimal("1.00"), 1_000_000, _SCHEDULER)

AWS_BUDGET = Price("AWS Budgets", "budget without actions", Decimal(0), 1, f"free; {REMEMBERED}")
COST_ANOMALY_MONITOR = Price(
    "Cost Anomaly Detection", "monitor", Decimal(0), 1, f"free; {REMEMBERED}"
)
