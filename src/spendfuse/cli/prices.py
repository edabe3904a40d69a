"""``spendfuse prices``: what calls cost, what models cost, and where that changes or differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Protocol

import click

from spendfuse.cli import price_json, price_report, price_text
from spendfuse.cli.options import MOMENT, json_option, print_json
from spendfuse.cli.price_layout import moment
from spendfuse.cli.price_options import PriceGroup, at_option, given_usage, overrides_option
from spendfuse.clock import utc_text
from spendfuse.errors import SettingsError
from spendfuse.metering.litellm_table import installed_table, table_in
from spendfuse.metering.price_book import PriceBook, PriceError
from spendfuse.metering.price_changes import (
    changes_between,
    changes_by_overrides,
    unlisted_patterns,
)
from spendfuse.metering.price_check import check as compared
from spendfuse.metering.price_history import history
from spendfuse.metering.price_list import known_provider, listed_prices

EXIT_DIFFERENT = 3
"""``check --fail-on-difference`` found one."""


class Context(Protocol):
    """What these commands need of the way in."""

    @property
    def now(self) -> Callable[[], datetime]: ...


@click.group(cls=PriceGroup)
def prices() -> None:
    """See what calls and models cost.

    \b
    Example:
        spendfuse prices cost openai gpt-4o --usage '{"input_tokens": 2000}'
        spendfuse prices show anthropic claude-sonnet-4-5
        spendfuse prices list openai --match mini

    \b
    Exit codes:
        0  done
        1  an error: the usage, the overrides, or a price that the model does not have
        2  wrong usage of the command
        3  check --fail-on-difference: there is one
        4  the price book does not know the model
    """


@prices.command()
@click.argument("provider")
@click.argument("model")
@click.option("--usage", "usage_text", required=True, help="JSON, @FILE, or - for stdin.")
@click.option("--batch", is_flag=True, help="Through the provider's batch interface.")
@click.option("--tier", help="flex, priority or fast. Default: the standard price.")
@at_option
@overrides_option
@json_option
@click.pass_obj
def cost(
    context: Context,
    *,
    provider: str,
    model: str,
    usage_text: str,
    batch: bool,
    tier: str | None,
    at: datetime | None,
    overrides: Path | None,
    as_json: bool,
) -> None:
    """Price one call of MODEL, bought at PROVIDER, by its usage.

    The usage has the names of our records or those of the provider's own response; a name that
    nobody has is refused. PROVIDER may be "" where the model's name tells it.
    Exits with 4 when the price book does not know the model.

    \b
    Example:
        spendfuse prices cost openai gpt-4o --usage \\
            '{"input_tokens": 2000, "cached_input_tokens": 1920, "output_tokens": 300}'
        spendfuse prices cost openai o3 --usage @usage.json --tier flex --at 2025-05-01 --json
    """
    usage = given_usage(usage_text, provider)
    at = at or context.now()
    priced = PriceBook.standard(overrides).price(
        provider, model, usage, at=at, tier=tier, batch=batch
    )
    if as_json:
        print_json(price_json.cost_json(priced, model, at))
    else:
        _print(price_text.cost_lines(priced, model, at))


@prices.command()
@click.argument("provider")
@click.argument("model")
@at_option
@overrides_option
@json_option
@click.pass_obj
def show(
    context: Context,
    *,
    provider: str,
    model: str,
    at: datetime | None,
    overrides: Path | None,
    as_json: bool,
) -> None:
    """Show all prices of MODEL: each unit, each way of processing, and what they were before.

    Exits with 4 when the price book does not know the model.

    \b
    Example:
        spendfuse prices show openai o3
        spendfuse prices show aws eu.anthropic.claude-sonnet-4-5-20250929-v1:0 --json
        spendfuse prices show deepseek deepseek-chat --at 2025-09-01T20:00:00Z
    """
    at = at or context.now()
    stretches = history(PriceBook.standard(overrides), provider, model, at=at)
    now = next(each for each in stretches if each.holds(at))
    if not now.prices:
        raise PriceError(f"{model!r} has no price at {moment(at)}; name another day with --at")
    if as_json:
        print_json(price_json.show_json(model, stretches, now, at))
    else:
        _print(price_text.show_lines(model, stretches, now, at))


@prices.command(name="list")
@click.argument("provider", required=False)
@click.option("--match", "text", default="", help="Only names that contain this text.")
@at_option
@overrides_option
@json_option
@click.pass_obj
def list_(
    context: Context,
    *,
    provider: str | None,
    text: str,
    at: datetime | None,
    overrides: Path | None,
    as_json: bool,
) -> None:
    """List the models of all providers, or of PROVIDER, with their prices.

    Models answer to more names than the one listed: dated ones, and those of routers.

    \b
    Example:
        spendfuse prices list openai
        spendfuse prices list --match haiku --json
    """
    book = PriceBook.standard(overrides)
    at = at or context.now()
    known = known_provider(book, provider) if provider else None
    listed = list(listed_prices(book, at, provider=known, text=text))
    if as_json:
        print_json(price_json.list_json(listed, at, book.version))
    elif listed:
        _print(price_text.list_lines(listed))
    else:
        click.echo(f"No model's name contains {text!r}.")


@prices.command()
@click.argument("provider", required=False)
@click.option(
    "--against",
    type=click.Path(path_type=Path),
    help="The table: litellm's model_prices_and_context_window.json. Default: the installed one's.",
)
@click.option(
    "--fail-on-difference", is_flag=True, help="Exit with 3 when there is one, for a CI job."
)
@at_option
@overrides_option
@json_option
@click.pass_obj
def check(
    context: Context,
    *,
    provider: str | None,
    against: Path | None,
    fail_on_difference: bool,
    at: datetime | None,
    overrides: Path | None,
    as_json: bool,
) -> None:
    """Report where the price book and litellm's table differ by more than 0.1 %.

    Either may be right: a difference is something to look up, not an error. Nothing is fetched:
    the table is a file, that of an installed litellm or the one that you name.

    \b
    Example:
        spendfuse prices check
        spendfuse prices check openai --against model_prices_and_context_window.json --json
    """
    path = against or installed_table()
    if path is None:
        raise SettingsError(
            "litellm is not installed here; download its model_prices_and_context_window.json "
            "and name it with --against"
        )
    book = PriceBook.standard(overrides)
    at = at or context.now()
    checks = compared(book, table_in(path), at)
    if provider:
        known = known_provider(book, provider)
        checks = [each for each in checks if each.provider == known]
    if as_json:
        print_json(price_json.check_json(checks, str(path), at, book.version))
    else:
        title = [f"Our book {book.version}", f"against  {path}", f"at {moment(at)}"]
        _print(price_report.check_lines(checks, title))
    if fail_on_difference and any(each.differing for each in checks):
        raise SystemExit(EXIT_DIFFERENT)


@prices.command()
@click.argument("provider", required=False)
@click.option("--from", "begin", type=MOMENT, help="Changes after this day, or time.")
@click.option("--to", "end", type=MOMENT, help="Up to this day, or time. Default: now.")
@overrides_option
@json_option
@click.pass_obj
def diff(
    context: Context,
    *,
    provider: str | None,
    begin: datetime | None,
    end: datetime | None,
    overrides: Path | None,
    as_json: bool,
) -> None:
    """Show which prices change between two days, or by your overrides.

    With --from, the prices of one day are compared with those of another, and each change on
    the way is shown with its day; your overrides, if you name some, hold on both days. Without
    it, the price book with your overrides is compared with the one without them, at all times.

    \b
    Example:
        spendfuse prices diff --from 2025-06-01 --to 2025-06-30 openai
        spendfuse prices diff --overrides prices.yaml
    """
    book = PriceBook.standard(overrides)
    known = known_provider(book, provider) if provider else None
    now = context.now()
    unlisted = []
    if begin is not None:
        end = end or now
        if end < begin:
            raise click.BadParameter(f"{utc_text(end)} is before --from", param_hint="'--to'")
        changes = list(changes_between(book, begin, end, known))
        title = f"Prices that change after {moment(begin)} and up to {moment(end)}"
    elif overrides is None or end is not None:
        raise click.UsageError("name a day with --from, or your overrides with --overrides")
    else:
        entries = book.overrides[-1].entries
        changes = list(changes_by_overrides(PriceBook.standard(), book, entries, now, known))
        unlisted = unlisted_patterns(book, entries)
        title = f"Prices that {overrides} changes"
    if as_json:
        header = {
            "price_version": book.version,
            "overrides": str(overrides) if overrides else None,
            "from": utc_text(begin) if begin else None,
            "to": utc_text(end) if end else None,
            "unlisted": [{"provider": each, "model": name} for each, name in unlisted],
        }
        print_json(price_json.diff_json(changes, header))
    else:
        _print(price_report.diff_lines(changes, title, unlisted))


def _print(lines: Iterator[str]) -> None:
    click.echo("\n".join(lines))
