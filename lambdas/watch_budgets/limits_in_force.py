"""The limits that rungs go by: what is deployed, and what was set since."""

from __future__ import annotations

import logging
from datetime import datetime

from spendfuse.budget import Limits
from spendfuse.definitions import Definitions
from spendfuse.errors import SpendfuseError
from spendfuse.ledger.dynamodb_overrides import DynamoOverrides

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class LimitsInForce:
    """The configured limits, and what was set since.

    While the table can't be read, what this process read last holds, and the configured limits
    before that: a trip too many would stop everybody, and none at all is worse.
    """

    def __init__(self, stored: DynamoOverrides, definitions: Definitions) -> None:
        self._stored = stored
        self._definitions = definitions
        self._limits = definitions.limits

    def read(self) -> Limits:
        """Return the limits as they are now."""
        try:
            overrides = self._stored.overrides()
        except SpendfuseError as error:
            logger.error("no limit set lately is known, the last ones hold: %s", error)  # noqa: TRY400
        else:
            self._limits = self._limits._replace(overrides=overrides)
        return self._limits

    def write_down(self, now: datetime) -> None:
        """Tell the apps what is deployed; what fails is done a minute later."""
        try:
            if self._stored.put_definitions(self._definitions, now):
                logger.info("the budgets of version %s are in force", self._definitions.version)
        except SpendfuseError as error:
            logger.error("apps can't see the deployed budgets: %s", error)  # noqa: TRY400
