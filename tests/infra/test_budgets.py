"""AWS Budgets: which rung goes where, and what the limit is compared with."""

import pytest
from infra.templates import Templates


def budget(templates: Templates, name: str) -> dict:
    return templates.of_type("AWS::Budgets::Budget")[f"budgets/Budgets{name}"]["Properties"]


def rungs(templates: Templates, name: str) -> dict[tuple[str, int], list[str]]:
    return {
        (each["Notification"]["NotificationType"], each["Notification"]["Threshold"]): [
            templates.text("budgets", subscriber["Address"]) for subscriber in each["Subscribers"]
        ]
        for each in budget(templates, name)["NotificationsWithSubscribers"]
    }


def test_only_the_trip_rung_of_actual_spend_reaches_the_fuse(templates):
    assert rungs(templates, "month") == {
        ("ACTUAL", 50): ["alerts/TopicsAlerts", "cfo@example.com"],
        ("ACTUAL", 80): ["alerts/TopicsAlerts", "cfo@example.com"],
        ("ACTUAL", 100): ["alerts/TopicsTrips", "cfo@example.com"],
        ("FORECASTED", 100): ["alerts/TopicsAlerts", "cfo@example.com"],
    }


def test_a_daily_budget_only_informs(templates):
    # It reports yesterday: too late to trip, and for a day that is over.
    assert rungs(templates, "day") == {
        ("ACTUAL", 80): ["alerts/TopicsAlerts"],
        ("ACTUAL", 100): ["alerts/TopicsAlerts"],
    }


def test_a_rung_is_a_percentage_that_was_exceeded(templates):
    for name in ("month", "day"):
        for each in budget(templates, name)["NotificationsWithSubscribers"]:
            notification = each["Notification"]

            assert notification["ComparisonOperator"] == "GREATER_THAN"
            assert notification["ThresholdType"] == "PERCENTAGE"


@pytest.mark.parametrize(
    ("name", "amount", "unit"), [("month", 1000.5, "MONTHLY"), ("day", 50, "DAILY")]
)
def test_the_limit_is_the_configured_one(templates, name, amount, unit):
    data = budget(templates, name)["Budget"]

    assert data["BudgetLimit"] == {"Amount": amount, "Unit": "USD"}
    assert (data["BudgetType"], data["TimeUnit"]) == ("COST", unit)


def test_credits_and_refunds_hide_no_spending(templates):
    for name in ("month", "day"):
        assert budget(templates, name)["Budget"]["CostTypes"] == {
            "IncludeCredit": False,
            "IncludeRefund": False,
        }


def test_filters_are_passed_on(templates):
    assert budget(templates, "month")["Budget"]["CostFilters"] == {
        "TagKeyValue": ["user:Project$acme-rag"]
    }
    assert "CostFilters" not in budget(templates, "day")["Budget"]


def test_the_lambdas_know_each_budget_by_its_deployed_name(templates, config):
    known = {each.aws_name for each in config.definitions.aws_budgets}
    deployed = {
        each["Properties"]["Budget"]["BudgetName"]
        for each in templates.of_type("AWS::Budgets::Budget").values()
    }

    assert deployed == known


def test_names_that_differ_in_a_dot_are_two_budgets(synthesise, block):
    two = [{"name": "a.b", "limit_usd": 1}, {"name": "a-b", "limit_usd": 2}]
    templates = synthesise({**block, "aws_budgets": two})

    assert len(templates.stacks["budgets"]["Resources"]) == 2
