"""What the ledger's rules need of its table, and how the table refuses.

Keys and items are DynamoDB's own: ``{"pk": {"S": …}, …}``. ``ledger.dynamodb`` keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from spendfuse.errors import UnavailableError

Item = Mapping[str, Any]


class ConditionsFailedError(Exception):
    """The transaction did nothing: the conditions at these positions do not hold."""

    def __init__(self, positions: Sequence[int]) -> None:
        super().__init__(positions)
        self.positions = positions


class ConflictError(UnavailableError):
    """Somebody else was writing the same item; the same write may work in a moment."""


class WriteRefusedError(UnavailableError):
    """AWS did not take the write as it is; another one may pass."""


class Table(Protocol):
    """One table with the keys ``pk`` and ``sk``."""

    def get(self, key: Item) -> Item | None:
        """Return the item, read consistently.

        Raises:
            UnavailableError: it could not be read.
        """
        ...

    def put(self, item: Item) -> None:
        """Write the item, over whatever is there.

        Raises:
            UnavailableError: not certain to have been written.
        """
        ...

    def write_if(self, operation: str, **request: Any) -> bool:
        """Write one item under the request's condition; False where it does not hold.

        Raises:
            UnavailableError: not certain to have been written.
        """
        ...

    def transact(self, writes: Sequence[tuple[str, Item]]) -> None:
        """Write all of it or nothing; each is an operation (``Put``, ``Update``) and its request.

        Raises:
            ConditionsFailedError: and nothing else is wrong.
            UnavailableError: not certain to have been written.
        """
        ...

    def query(self, pk: str, prefix: str = "") -> Iterable[Item]:
        """Yield the items of ``pk`` in the order of ``sk``, read consistently, page by page.

        Args:
            pk: their partition.
            prefix: what their ``sk`` begins with.

        Raises:
            UnavailableError: they could not be read, or not all of them.
        """
        ...

    def delete_all(self, keys: Sequence[Item]) -> None:
        """Delete these items, those that are there; in no order, and not as one.

        Raises:
            UnavailableError: not certain to have been deleted, all or some.
        """
        ...
