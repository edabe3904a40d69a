"""The calls to the guard's DynamoDB table: what AWS says no to, tried again or told."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.guard.stores.dynamodb_items import HELD_INDEX, Item, key, number

ATTEMPTS = 8
"""How often a step is tried before it is given up."""
_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 0.025, 0.8
_BATCH = 100
"""The most items that AWS reads in one call."""
_PAGE = 25

_MOVED_ON = {"ConditionalCheckFailed", "ConditionalCheckFailedException"}
_TRY_AGAIN = {
    "InternalServerError",
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingError",
    "ThrottlingException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
}
_OURS_TO_MEND = {
    "AccessDeniedException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
}


class GuardTable:
    """The table as the store uses it; ``sleep`` waits before another try."""

    def __init__(self, client: Any, name: str, sleep: Callable[[float], None]) -> None:
        self.name = name
        self._client = client
        self._sleep = sleep

    def items(self, pks: Sequence[str]) -> dict[str, Item]:
        """Read items by their ``pk``, as they are after all writes that were answered."""
        found: dict[str, Item] = {}
        left = [key(each) for each in dict.fromkeys(pks)]
        attempt = 0
        while left:
            asked = {self.name: {"Keys": left[:_BATCH], "ConsistentRead": True}}
            answer = self._call("batch_get_item", RequestItems=asked)
            found.update((each["pk"]["S"], each) for each in answer["Responses"][self.name])
            unread = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
            left = unread + left[_BATCH:]
            if unread:
                self._wait(attempt)
                attempt += 1
                if attempt == ATTEMPTS:
                    raise self.contended()
        return found

    def held_until(self, deployment: str, milliseconds: int) -> list[str]:
        """Return the ``pk`` of some holds that were to end by then, the oldest first.

        The index lags behind: what it names may have been settled meanwhile.
        """
        page = self._call(
            "query",
            TableName=self.name,
            IndexName=HELD_INDEX,
            KeyConditionExpression="held_of = :deployment AND held_until <= :until",
            ExpressionAttributeValues={
                ":deployment": {"S": deployment},
                ":until": number(milliseconds),
            },
            Limit=_PAGE,
        )
        return [each["pk"]["S"] for each in page["Items"]]

    def write(self, changes: Sequence[Mapping[str, Any]], attempt: int) -> bool:
        """Write all changes or none; False where a condition failed, or after a wait: look again.

        When AWS is slow to answer, botocore sends the same transaction again under the same
        token, so it is taken once.
        """
        try:
            self._client.transact_write_items(TransactItems=changes)
        except (ClientError, BotoCoreError) as error:
            codes = _codes(error)
            if codes & _MOVED_ON:
                return False
            if codes & _TRY_AGAIN:
                self._wait(attempt)
                return False
            raise _error(error) from error
        return True

    def put_if_absent(self, item: Item) -> None:
        """Write an item where there is none."""
        self._write_one("put_item", Item=item, ConditionExpression="attribute_not_exists(pk)")

    def update_if_there(self, pk: str, name: str, value: Mapping[str, str]) -> None:
        """Set one attribute of a counter, or leave it where the counter is being written."""
        self._write_one(
            "update_item",
            Key=key(pk),
            UpdateExpression="SET #name = :value",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeNames={"#name": name},
            ExpressionAttributeValues={":value": value},
        )

    def contended(self) -> UnavailableError:
        return UnavailableError(
            f"the guard's table {self.name} refused {ATTEMPTS} times; it is contended: let "
            "processes borrow from it (leased)"
        )

    def _write_one(self, operation: str, **request: Any) -> None:
        try:
            getattr(self._client, operation)(TableName=self.name, **request)
        except (ClientError, BotoCoreError) as error:
            if not _codes(error) & (_MOVED_ON | {"TransactionConflictException"}):
                raise _error(error) from error

    def _call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        try:
            answer: Mapping[str, Any] = getattr(self._client, operation)(**request)
        except (ClientError, BotoCoreError) as error:
            raise _error(error) from error
        return answer

    def _wait(self, attempt: int) -> None:
        # Full jitter: clients that collided once should not collide again.
        longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2**attempt)
        self._sleep(random.uniform(0, longest))  # noqa: S311


def _codes(error: Exception) -> set[str]:
    """Return why AWS refused; of a transaction, the reason of each of its items too."""
    # A timeout has a response too, and it is None.
    response = getattr(error, "response", None) or {}
    reasons = {str(each.get("Code", "")) for each in response.get("CancellationReasons", ())}
    return reasons | {str(response.get("Error", {}).get("Code", ""))}


def _error(error: Exception) -> SpendfuseError:
    """Return our error for a vendor's, told apart by what the caller does next."""
    if _codes(error) & _OURS_TO_MEND:
        return SettingsError(f"the guard's table refused: {error}")
    return UnavailableError(f"the guard's table did not answer: {error}")
