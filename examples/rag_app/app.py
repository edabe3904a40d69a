"""A small app to protect: an API that answers questions about documents, behind API keys.

It is an app like yours: its own stack, connected to spendfuse by what the stacks export.
Deploy it after spendfuse, from the project's root:

    cdk deploy --app "python3 examples/rag_app/app.py" --output build/rag_app.out
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aws_cdk import App, CfnOutput, Duration, Fn, Stack, Tags
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

ASK = Path(__file__).parent / "ask"


class RagAppStack(Stack):
    """The API, its two keys and the function behind it."""

    def __init__(self, scope: Construct, id: str, *, deployment: str, **options: Any) -> None:  # noqa: A002
        super().__init__(scope, id, **options)
        ask = self._ask_function(deployment)
        api = apigateway.RestApi(
            self,
            "Api",
            deploy_options=apigateway.StageOptions(stage_name="prod"),
            default_method_options=apigateway.MethodOptions(api_key_required=True),
        )
        api.root.add_resource("ask").add_method("POST", apigateway.LambdaIntegration(ask))
        plan = api.add_usage_plan("Plan")
        plan.add_api_stage(stage=api.deployment_stage)

        # Its key carries the fuse's tag: at 100 % it stops working.
        web = apigateway.ApiKey(self, "WebKey", description="The web app's key")
        Tags.of(web).add("spendfuse:fuse", deployment)
        Tags.of(web).add("spendfuse:owner", "web")
        # This one has no tag, so the fuse leaves it alone.
        on_call = apigateway.ApiKey(self, "OnCallKey", description="For the people on call")
        for key in (web, on_call):
            plan.add_api_key(key)

        CfnOutput(self, "ApiId", value=api.rest_api_id)
        CfnOutput(self, "ApiUrl", value=api.url)
        CfnOutput(self, "WebKeyId", value=web.key_id)
        CfnOutput(self, "OnCallKeyId", value=on_call.key_id)

    def _ask_function(self, deployment: str) -> lambda_.Function:
        ask = lambda_.Function(
            self,
            "Ask",
            description="Answers a question about a document, and reports its usage",
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            code=lambda_.Code.from_asset(str(ASK), exclude=["**/__pycache__"]),
            handler="ask.handler",
            timeout=Duration.seconds(10),
            memory_size=256,
            environment={"USAGE_QUEUE_URL": Fn.import_value(f"{deployment}:UsageQueueUrl")},
        )
        role = ask.role
        if role is not None:
            role.add_managed_policy(
                iam.ManagedPolicy.from_managed_policy_arn(
                    self, "Spendfuse", Fn.import_value(f"{deployment}:AppPolicyArn")
                )
            )
        return ask


def main() -> None:
    app = App(analytics_reporting=False)
    deployment = app.node.try_get_context("deployment") or "spendfuse"
    RagAppStack(app, f"{deployment}-rag-app", deployment=deployment)
    app.synth()


if __name__ == "__main__":
    main()
