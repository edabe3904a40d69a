from spendfuse.sandbox.cdk import failure_reasons

OUTPUT = """\
✨  Synthesis time: 5.28s
try: creating CloudFormation changeset...
try | 8/3 | UPDATE_FAILED | AWS::Budgets::Budget | Budget the budget already exists
try | 8/3 | UPDATE_ROLLBACK_IN_PROGRESS | AWS::CloudFormation::Stack | try
 ❌  try failed to deploy
""".splitlines()


def test_a_failed_deployment_is_told_by_its_reasons_alone():
    told = failure_reasons(OUTPUT)

    assert "UPDATE_FAILED" in told.splitlines()[0]
    assert "the budget already exists" in told
    assert "Synthesis time" not in told


def test_a_reason_that_comes_twice_is_told_once():
    assert failure_reasons(["Error: no", "Error: no"]) == "  Error: no"


def test_an_output_without_a_reason_is_told_by_its_last_lines():
    assert failure_reasons([f"line {number}" for number in range(20)]).endswith("  line 19")
