"""The dashboard: what CloudWatch takes, and lines that are whole before the first data."""

import copy
import json
import re
from decimal import Decimal

import pytest
from infra.dashboard_rules import problems, title, widget_problems
from infra.templates import Templates

from spendfuse import aws_prices, metrics
from spendfuse.config.schema import AlarmsBlock
from spendfuse.metrics import FLOWS, FLOWS_IN_ALL_ONLY, GAUGES
from stacks.function import MEMORY_MB
from stacks.spend_widgets import MOST_GAUGES

SEARCH = re.compile(r"SEARCH\('\{([^}]*)\} ([^']*)', '([^']*)'\)")


def resource(templates: Templates) -> dict:
    (found,) = templates.of_type("AWS::CloudWatch::Dashboard").values()
    return found["Properties"]


def body_of(templates: Templates) -> dict:
    return json.loads(templates.text("monitoring", resource(templates)["DashboardBody"]))


@pytest.fixture(scope="module")
def body(templates) -> dict:
    return body_of(templates)


@pytest.fixture(scope="module")
def widgets(body) -> dict[str, dict]:
    return {title(each): each for each in body["widgets"]}


def widget(widgets: dict[str, dict], beginning: str) -> dict:
    (found,) = [each for name, each in widgets.items() if name.startswith(beginning)]
    return found["properties"]


def expressions(properties: dict) -> list[str]:
    rows = properties.get("metrics", ())
    return [row[-1]["expression"] for row in rows if "expression" in (row[-1] or {})]


def drawn(properties: dict) -> list[list]:
    """Return the metrics that are drawn as they are, without an expression."""
    rows = properties.get("metrics", ())
    hidden = [isinstance(row[-1], dict) and row[-1].get("visible") is False for row in rows]
    return [
        row for row, is_hidden in zip(rows, hidden, strict=True) if len(row) > 1 and not is_hidden
    ]


def more_budgets(block: dict, count: int) -> dict:
    added = [
        {"name": f"team-{n}", "limit_usd": 1, "match": {"feature": f"f{n}"}} for n in range(count)
    ]
    return {**block, "budgets": [*block["budgets"], *added]}


def test_the_body_is_what_cloudwatch_takes(body):
    assert list(problems(body)) == []


@pytest.mark.parametrize("count", [MOST_GAUGES - 1, MOST_GAUGES, 25])
def test_with_more_budgets_too(synthesise, block, count):
    body = body_of(synthesise(more_budgets(block, count)))
    gauges = [each for each in body["widgets"] if each["properties"].get("view") == "gauge"]
    tables = [each for each in body["widgets"] if "All budgets" in title(each)]

    assert list(problems(body)) == []
    assert len(gauges) == MOST_GAUGES
    assert len(tables) == (1 if count + 1 > MOST_GAUGES else 0)


def test_without_any_alarm_too(synthesise, block):
    off = dict.fromkeys(set(AlarmsBlock.model_fields) - {"runbooks"}, False)
    body = body_of(synthesise({**block, "alarms": off}))

    assert list(problems(body)) == []
    assert not [each for each in body["widgets"] if each["type"] == "alarm"]


def errors_of(*dimension: str, name: str = "Errors") -> list[str]:
    return ["AWS/Lambda", name, *dimension]


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"x": 20}, "lies at"),
        ({"y": 0}, "lie over each other"),
        ({"type": "graph"}, "type 'graph'"),
    ],
)
def test_the_rules_see_a_wrong_widget(body, changed, found):
    broken = copy.deepcopy(body)
    broken["widgets"][4].update(changed)

    assert any(found in each for each in problems(broken))


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"region": None}, "has no region"),
        ({"view": "bars"}, "view 'bars'"),
        ({"colour": "red"}, "unknown"),
        ({"start": "-30D"}, "start"),
        ({"end": "-P1D", "start": None}, "an end without"),
        ({"view": "gauge"}, "a gauge without an end"),
    ],
)
def test_the_rules_see_a_wrong_property(widgets, changed, found):
    broken = copy.deepcopy(widgets["Latency"])
    broken["properties"].update(changed)

    assert any(found in each for each in widget_problems(broken))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (errors_of("FunctionName", "f", name="Runs"), "no metric"),
        (errors_of("FunctionName"), "no metric"),
        (errors_of("QueueName", "q"), "no dimensions"),
        (errors_of(), "no dimensions"),
        ([{"expression": "m_none + 1"}], "nothing has the ids"),
        ([*errors_of("FunctionName", "f"), {"id": "m_p50"}], "2 times"),
        ([*errors_of("FunctionName", "f"), {"id": "M"}], "is none"),
        ([*errors_of("FunctionName", "f"), {"id": "m", "visible": False}], "nobody needs"),
        ([*errors_of("FunctionName", "f"), {"period": 90}], "period"),
        ([*errors_of("FunctionName", "f"), {"stat": "Max"}], "stat"),
        ([*errors_of("FunctionName", "f"), {"colour": "red"}], "unknown"),
        ([*errors_of("FunctionName", "f"), {"expression": "1"}], "at once"),
    ],
)
def test_the_rules_see_a_wrong_metric(widgets, row, found):
    broken = copy.deepcopy(widgets["Latency"])
    broken["properties"]["metrics"].append(row)

    assert any(found in each for each in widget_problems(broken))


def test_it_is_named_like_the_deployment(templates):
    assert resource(templates)["DashboardName"] == "acme"


def test_every_alarm_is_on_it(templates, widgets):
    made = [
        name
        for type_ in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for name in templates.of_type(type_)
    ]

    assert sorted(widget(widgets, "Alarms")["alarms"]) == sorted(f"{name}.Arn" for name in made)


def test_every_line_has_a_value_before_the_first_data(body):
    """A sparse metric is filled, or has no value that would be true before there is data."""
    true_without = {"Minutes since the last request"}
    for each in body["widgets"]:
        properties = each["properties"]
        unfilled = [row for row in drawn(properties) if row[-1].get("label") not in true_without]
        assert unfilled == [], title(each)
        for expression in expressions(properties):
            ids = [row[-1]["id"] for row in properties["metrics"] if "id" in row[-1]]
            used = [id_ for id_ in ids if re.search(rf"\b{id_}\b", expression)]
            is_sum = all(id_.startswith("usd_") for id_ in used) and used
            assert is_sum or "FILL(" in expression or each["properties"]["view"] == "table"
            for id_ in used:
                filled = re.search(rf"FILL\((FILL\()?{id_}, (REPEAT\), )?0\)", expression)
                assert is_sum or filled, (title(each), expression)


def test_what_stands_is_not_taken_for_nothing_while_its_next_figure_is_due(widgets):
    """The last minute is published in the next one: zero there would read as nothing spent."""
    gauges = {*GAUGES, metrics.BUDGET_USED_PERCENT, metrics.DEAREST_REQUEST_USD}
    for name, each in widgets.items():
        rows = [row for row in each["properties"].get("metrics", ()) if len(row) > 1]
        ids = {
            row[-1]["id"]: row[1]
            for row in rows
            if row[1] in gauges and row[-1].get("stat") == "Maximum" and "id" in row[-1]
        }
        for id_ in ids:
            (used,) = [e for e in expressions(each["properties"]) if re.search(rf"\b{id_}\b", e)]
            assert used == f"FILL(FILL({id_}, REPEAT), 0)", name


def test_a_search_finds_this_deployments_metrics_and_no_others(body):
    found = [
        SEARCH.search(expression).groups()
        for each in body["widgets"]
        for expression in expressions(each["properties"])
        if "SEARCH" in expression
    ]

    assert len(found) >= 4
    for schema, terms, _statistic in found:
        namespace, deployment, by = schema.split(",")
        name = re.search(r'MetricName="(\w+)"', terms).group(1)
        assert namespace == f'"{metrics.NAMESPACE}"'
        assert deployment == metrics.DEPLOYMENT
        assert by in (metrics.BUDGET, metrics.MODEL, metrics.FEATURE)
        assert name in (metrics.BUDGET_USED_PERCENT, *FLOWS)
        assert 'Deployment="acme"' in terms


@pytest.mark.parametrize("beginning", ["Cost by model", "Cost by feature"])
def test_shares_are_of_the_whole_fortnight_and_not_of_its_last_day(widgets, beginning):
    properties = widget(widgets, beginning)
    (expression,) = expressions(properties)

    assert properties["setPeriodToTimeRange"] is True
    assert properties["start"] == "-P14D"
    # A period inside the SEARCH would stand against the widget's.
    assert not re.search(r"\d{3,}", expression)


def test_every_metric_of_ours_is_of_this_deployment(body):
    for each in body["widgets"]:
        for row in each["properties"].get("metrics", ()):
            if row[0] == metrics.NAMESPACE:
                dimensions = dict(zip(row[2:-1:2], row[3:-1:2], strict=True))
                assert dimensions[metrics.DEPLOYMENT] == "acme"


def test_no_user_is_a_metric_and_top_users_come_from_the_log(widgets):
    query = widget(widgets, "Users who spent most")["query"]

    assert query.startswith("SOURCE 'ledger/PublishGaugesLogs")
    for part in ('kind = "user_spend"', "sum(usd)", "sum(requests)", "by user", "limit 10"):
        assert part in query

    for each in widgets.values():
        for row in each["properties"].get("metrics", ()):
            assert "User" not in row


@pytest.mark.parametrize(
    ("beginning", "view"),
    [
        ("Cost by model", "pie"),
        ("Cost by feature", "bar"),
        ("LLM cost a day", "timeSeries"),
        ("all: % used", "gauge"),
        ("Now", "singleValue"),
    ],
)
def test_it_shows_what_was_asked_for_as_it_was_asked_for(widgets, beginning, view):
    assert widget(widgets, beginning)["view"] == view


def test_latency_is_shown_in_percentiles(widgets):
    rows = widgets["Latency"]["properties"]["metrics"]
    stats = {row[-1]["stat"] for row in rows if len(row) > 1}

    assert stats == {"p50", "p95", "p99"}


def test_nothing_is_divided_by_zero(body):
    for each in body["widgets"]:
        for expression in expressions(each["properties"]):
            if "/ " in expression:
                assert re.search(r"/ IF\(FILL\((\w+), 0\) > 0, FILL\(\1, 0\), 1\)", expression)


def test_a_part_that_may_be_taken_away_is_not_referred_to(synthesise, block):
    """CloudFormation keeps what another stack imports: meter_bedrock could not be removed."""
    log = {"log_group": "/aws/bedrock/log"}
    with_bedrock = synthesise({**block, "bedrock_log": log})

    assert imports(with_bedrock, "monitoring") == imports(synthesise(block), "monitoring")


def imports(templates: Templates, stack: str) -> set[str]:
    return set(re.findall(r'"Fn::ImportValue": "([^"]+)"', json.dumps(templates.stacks[stack])))


def test_the_toolkits_own_cost_is_use_times_the_price_table(widgets):
    cost = widget(widgets, "AWS cost of spendfuse a day")
    by_label = {
        row[-1].get("label"): row[-1]["expression"] for row in cost["metrics"] if len(row) == 1
    }
    factors = {
        label: [Decimal(each) for each in re.findall(r"\) \* ([\d.]+)", expression)]
        for label, expression in by_label.items()
    }
    gb_second = aws_prices.LAMBDA_GB_SECOND.usd

    assert factors["Lambda"] == [
        aws_prices.LAMBDA_REQUEST.of(1),
        gb_second * MEMORY_MB / 1024 / 1000,
    ]
    assert factors["DynamoDB"] == [aws_prices.DYNAMODB_WRITE.of(1), aws_prices.DYNAMODB_READ.of(1)]
    assert factors["SQS"] == [aws_prices.SQS_REQUEST.of(1)] * 4
    assert factors["SNS"] == [aws_prices.SNS_PUBLISH.of(1)]
    assert factors["PutMetricData"] == [aws_prices.METRIC_REQUEST.of(2)]
    # To 18 decimal places; a byte of log costs half a billionth of a dollar.
    assert abs(factors["CloudWatch Logs"][0] * 2**30 - aws_prices.LOGS_INGESTED.usd) < Decimal(
        "1e-6"
    )


def test_every_function_queue_topic_and_table_is_in_the_cost(templates, widgets):
    cost = widget(widgets, "AWS cost of spendfuse a day")
    counts = {}
    for row in cost["metrics"]:
        if len(row) > 1:
            counts.setdefault((row[0], row[1]), set()).add(row[3])

    assert len(counts["AWS/Lambda", "Duration"]) == len(templates.of_type("AWS::Lambda::Function"))
    assert len(counts["AWS/Logs", "IncomingBytes"]) == len(templates.of_type("AWS::Logs::LogGroup"))
    assert len(counts["AWS/SNS", "NumberOfMessagesPublished"]) == len(
        templates.of_type("AWS::SNS::Topic")
    )
    assert len(counts["AWS/SQS", "NumberOfMessagesSent"]) * 2 == len(
        templates.of_type("AWS::SQS::Queue")
    )
    assert len(counts["AWS/DynamoDB", "ConsumedWriteCapacityUnits"]) == len(
        templates.of_type("AWS::DynamoDB::Table")
    )


def test_what_costs_the_same_every_month_is_said_with_its_arithmetic(templates, body):
    (text,) = [
        each["properties"]["markdown"]
        for each in body["widgets"]
        if "every month" in each["properties"].get("markdown", "")
    ]
    alarms = templates.of_type("AWS::CloudWatch::Alarm").values()
    bands = sum("ThresholdMetricId" in each["Properties"] for each in alarms)
    # Received and deleted: CloudWatch charges for each metric of a formula.
    stuck = sum("-queue-stuck-" in each["Properties"]["AlarmName"] for each in alarms)
    composites = len(templates.of_type("AWS::CloudWatch::CompositeAlarm"))
    looked_at = len(alarms) + 2 * bands + stuck
    own = len(GAUGES) + len(FLOWS) + len(FLOWS_IN_ALL_ONLY) + 1
    together = (
        looked_at * aws_prices.ALARM_METRIC.usd
        + composites * aws_prices.COMPOSITE_ALARM.usd
        + own * aws_prices.METRIC.usd
        + aws_prices.DASHBOARD.usd
        + aws_prices.KMS_KEY.usd
        + aws_prices.SCHEDULE_RUN.of(2 * 43_200)
    )

    assert f"| metrics of the ledger | {own} |" in text
    assert f"| metrics that alarms look at | {looked_at} |" in text
    assert f"| **{together:.2f}** |" in text
    assert aws_prices.PRICES_DATE in text


def test_all_our_metrics_are_known_as_gauge_or_flow():
    named = {
        value
        for name, value in vars(metrics).items()
        if name.isupper() and isinstance(value, str) and not name.startswith("NAMESPACE")
    }
    others = {
        metrics.OTHER,
        metrics.DEPLOYMENT,
        metrics.BUDGET,
        metrics.MODEL,
        metrics.FEATURE,
        metrics.BUDGET_USED_PERCENT,
    }

    assert {*GAUGES, *FLOWS, *FLOWS_IN_ALL_ONLY} == named - others
