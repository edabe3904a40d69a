"""An app's way in: joins guard, meter, ledger and fuse as the environment says.

``spendfuse connect`` prints that environment for a deployed stack.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from spendfuse.budget import Limits
from spendfuse.errors import SettingsError, SpendfuseError, UnavailableError
from spendfuse.fuse_state import FuseState
from spendfuse.guard.guard import Guard
from spendfuse.guard.outage.fallback import Fallback
from spendfuse.guard.refreshed import Refreshed
from spendfuse.guard.store import Store
from spendfuse.guard.stores.memory import MemoryStore
from spendfuse.metering.settings import tracker_from_env
from spendfuse.metering.tracker import CostTracker

if TYPE_CHECKING:
    from spendfuse.guard.step import Level
    from spendfuse.metering.sinks.wiring import Wiring

logger = logging.getLogger(__name__)

VARIABLES: Mapping[str, str] = {
    "SPENDFUSE_DEPLOYMENT": "the deployment's name; its processes share the counters",
    "SPENDFUSE_GUARD_STORE": "memory, valkey://host:6379/0 or dynamodb:table; leased+ before it",
    "SPENDFUSE_VALKEY_PASSWORD_FILE": "a file with the password of the Valkey server",
    "SPENDFUSE_BUDGETS": "a file of budgets, such as budgets.json or cdk.json",
    "SPENDFUSE_LEDGER_TABLE": "the ledger's table: budgets as deployed, limits set since, seeds",
    "SPENDFUSE_FUSE_TABLE": "the fuse's table; with it, a tripped fuse stops the app",
    "SPENDFUSE_FUSE_NAME": "the fuse; by default the deployment's name",
}
"""What is read beyond the meter's own variables; docs/connect.md has them."""

LIMITS_MAX_AGE_SECONDS = 4.0
"""So that a changed limit holds within five seconds, its way through the table included."""
FUSE_MAX_AGE_SECONDS = 2.0
_NO_RATES = (
    "rates in dollars a minute need SPENDFUSE_GUARD_STORE memory or valkey://…, without leased+"
)
_MEMORY = "memory"
_LEASED = "leased+"
_VALKEY = ("valkey", "valkeys", "redis", "rediss", "unix")
_URL = re.compile(r"//\S+")
_TABLE = re.compile(r"[A-Za-z0-9_.:/-]+")
"""A DynamoDB table's name, or its ARN."""


class Connection(NamedTuple):
    """What an app needs: ask ``guard`` before a call, tell ``tracker`` after it."""

    guard: Guard
    tracker: CostTracker

    def close(self) -> None:
        """Return what is borrowed, deliver what waits, and let go of threads and connections."""
        self.guard.close()
        self.tracker.close()


def connect(
    environ: Mapping[str, str] | None = None,
    *,
    wiring: Wiring | None = None,
    dynamodb: Any = None,
) -> Connection:
    """Return a guard and a tracker as the environment asks for.

    Args:
        environ: by default ``os.environ``.
        wiring: clients and streams of the app's own, for the sinks.
        dynamodb: a DynamoDB client of the app's own; mind its timeouts.

    Raises:
        SettingsError: what is missing or wrong.
        UnavailableError: there is no file of budgets, and the table of the ledger can't be read.
    """
    environ = os.environ if environ is None else environ
    parts = _Parts(environ, dynamodb)
    store = parts.store()
    limits, fuse = parts.limits(takes_rates=store.takes_rates), parts.fuse()
    tracker = tracker_from_env(environ, wiring=wiring)
    return Connection(
        Guard(
            limits,
            store=store,
            prices=tracker.prices,
            spent=parts.spent(limits, tracker),
            fuse=fuse,
        ),
        tracker,
    )


def check_store(name: str) -> None:
    """Pass where ``SPENDFUSE_GUARD_STORE`` may have this text.

    Raises:
        SettingsError: says what to write; repeats no password.
    """
    shared = name.removeprefix(_LEASED)
    kind, _, rest = shared.partition(":")
    if name == _LEASED + _MEMORY:
        raise SettingsError(
            f"SPENDFUSE_GUARD_STORE: {name!r}: counters in memory are shared with nobody; "
            "write memory, or leased+ before a shared store"
        )
    is_url = kind in _VALKEY and _URL.fullmatch(rest)
    is_table = kind == "dynamodb" and _TABLE.fullmatch(rest)
    if shared != _MEMORY and not is_url and not is_table:
        raise SettingsError(
            "SPENDFUSE_GUARD_STORE: expected memory, valkey://host:6379/0 or dynamodb:table, with "
            f"leased+ before it where it is to be borrowed from, got {_without_password(name)!r}"
        )


class _Parts:
    """The guard's parts, as the environment names them."""

    def __init__(self, environ: Mapping[str, str], dynamodb: Any) -> None:
        self._environ = environ
        self._dynamodb = dynamodb
        self.deployment = environ.get("SPENDFUSE_DEPLOYMENT") or "spendfuse"
        self._ledger_table = environ.get("SPENDFUSE_LEDGER_TABLE") or None

    def limits(self, *, takes_rates: bool) -> Callable[[], Limits]:
        """Return the limits in force: the file's or the deployed ones, and what was set since.

        Rates that the store can't keep are a mistake at the start. Deployed later they must not
        stop an app that runs: then they are left out, and the log says so.
        """
        source = self._limits()
        if takes_rates:
            return source
        if source().rates:
            raise SettingsError(f"{_NO_RATES}; take the rates out of the budgets, or change it")
        return _WithoutRates(source)

    def _limits(self) -> Callable[[], Limits]:
        file = self._environ.get("SPENDFUSE_BUDGETS")
        configured = _limits_in(Path(file)) if file else None
        if self._ledger_table is None:
            if configured is None:
                raise SettingsError(
                    "there are no budgets; set SPENDFUSE_LEDGER_TABLE (`spendfuse connect` prints "
                    "it) or SPENDFUSE_BUDGETS, a file such as budgets.json"
                )
            return lambda: configured
        read = self._reader(self._ledger_table, configured)
        source = Refreshed(
            "the limits in the ledger's table",
            read,
            configured or Limits(()),
            max_age_seconds=LIMITS_MAX_AGE_SECONDS,
        )
        try:
            source.refresh()
        except SpendfuseError:
            if configured is None:
                raise
            source()  # it says that the table can't be read, and that the file holds
        return source

    def _reader(self, table: str, configured: Limits | None) -> Callable[[], Limits]:
        # Here, because an app without a ledger needs no boto3.
        from spendfuse.definitions import definitions_from_json  # noqa: PLC0415
        from spendfuse.ledger.dynamodb_overrides import DynamoOverrides  # noqa: PLC0415

        overrides = DynamoOverrides(self._client(), table)

        def read() -> Limits:
            stored = overrides.limits()
            if configured is not None:
                return configured._replace(overrides=stored.overrides)
            if stored.definitions_json is None:
                raise UnavailableError(
                    f"the table {table} has no budgets yet; watch_budgets writes them within a "
                    "minute of the deployment"
                )
            deployed = definitions_from_json(stored.definitions_json).limits
            return deployed._replace(overrides=stored.overrides)

        return read

    def store(self) -> Store:
        """Return the store of counters, and around a shared one what happens while it is down."""
        name = self._environ.get("SPENDFUSE_GUARD_STORE") or _MEMORY
        check_store(name)
        shared, is_leased = name.removeprefix(_LEASED), name.startswith(_LEASED)
        if shared == _MEMORY:
            return MemoryStore()
        store = self._shared_store(shared)
        if is_leased:
            from spendfuse.guard.leasing.leased import LeasedStore  # noqa: PLC0415

            store = LeasedStore(store)
        return Fallback(store)

    def _shared_store(self, name: str) -> Store:
        kind, _, rest = name.partition(":")
        if kind in _VALKEY:
            return self._valkey_store(name)
        from spendfuse.guard.stores.dynamodb import DynamoStore  # noqa: PLC0415

        return DynamoStore(self._client(), rest, deployment=self.deployment)

    def _valkey_store(self, url: str) -> Store:
        try:
            from spendfuse.guard.stores.valkey import ValkeyStore  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise SettingsError(
                f"SPENDFUSE_GUARD_STORE needs {error.name}; pip install 'spendfuse[valkey]'"
            ) from error
        return ValkeyStore(url, deployment=self.deployment, password=self._password())

    def _password(self) -> str | None:
        file = self._environ.get("SPENDFUSE_VALKEY_PASSWORD_FILE")
        if not file:
            return None
        try:
            return Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"SPENDFUSE_VALKEY_PASSWORD_FILE: {file} can't be read: {type(error).__name__}"
            ) from error

    def fuse(self) -> Callable[[], FuseState] | None:
        """Return the fuse's state, at most two seconds old; None where no table is named."""
        table = self._environ.get("SPENDFUSE_FUSE_TABLE")
        if not table:
            return None
        from spendfuse.fuse.dynamodb import DynamoFuse  # noqa: PLC0415

        name = self._environ.get("SPENDFUSE_FUSE_NAME") or self.deployment
        return Refreshed(
            "the state of the fuse",
            DynamoFuse(self._client(), table, name).state,
            FuseState(name),
            max_age_seconds=FUSE_MAX_AGE_SECONDS,
        )

    def spent(
        self, limits: Callable[[], Limits], tracker: CostTracker
    ) -> Callable[[Level], int] | None:
        """Return how the ledger is asked for a counter that the store does not have."""
        if self._ledger_table is None:
            return None
        from spendfuse.ledger.dynamodb import DynamoLedger  # noqa: PLC0415

        ledger = DynamoLedger(self._client(), self._ledger_table)

        def spent(level: Level) -> int:
            budget = limits().budget(level.budget)
            value = level.value
            if budget is not None and budget.per == "user":
                # The ledger knows users as the tracker's records name them.
                value = tracker.recorded_user(value)
            return ledger.spent(level.budget, level.period, value)

        return spent

    def _client(self) -> Any:
        if self._dynamodb is None:
            self._dynamodb = _dynamodb_client()
        return self._dynamodb


class _WithoutRates:
    """Limits for a store that keeps no rates."""

    def __init__(self, source: Callable[[], Limits]) -> None:
        self._source = source
        self._last = self._kept = source()

    def __call__(self) -> Limits:
        limits = self._source()
        if limits is not self._last:
            if limits.rates and not self._last.rates:
                logger.error("%s; they are not enforced here", _NO_RATES)
            # The same object as long as nothing changes: the guard compiles it once.
            self._last, self._kept = limits, limits._replace(rates=())
        return self._kept

    @property
    def failures(self) -> int:
        return int(getattr(self._source, "failures", 0))

    def would_wait(self) -> bool:
        asked = getattr(self._source, "would_wait", None)
        return bool(asked()) if asked is not None else False


def _limits_in(file: Path) -> Limits:
    try:
        from spendfuse.config import budgets_from_file  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"SPENDFUSE_BUDGETS needs {error.name}; pip install 'spendfuse[config]'"
        ) from error
    return budgets_from_file(file)


def _dynamodb_client() -> Any:
    try:
        import boto3  # noqa: PLC0415
        from botocore.config import Config  # noqa: PLC0415
        from botocore.exceptions import BotoCoreError, NoRegionError  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"the tables of a deployment need {error.name}; pip install 'spendfuse[aws]'"
        ) from error
    config = Config(connect_timeout=1, read_timeout=1, retries={"total_max_attempts": 2})
    try:
        return boto3.client("dynamodb", config=config)
    except NoRegionError as error:
        raise SettingsError(
            "the tables of a deployment need its region; set AWS_DEFAULT_REGION, such as "
            "eu-central-1"
        ) from error
    except BotoCoreError as error:
        raise SettingsError(f"DynamoDB: {error}") from error


def _without_password(name: str) -> str:
    name = re.sub(r"(password=)[^&]*", r"\1***", name)
    return re.sub(r"^([a-z+]*:(?://)?)?.*@", r"\1***@", name)
