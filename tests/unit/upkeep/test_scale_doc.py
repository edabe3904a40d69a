"""The tables of docs/scale.md are what the model and the ledger give today.

``PYTHONPATH=tests python tests/unit/upkeep/test_scale_doc.py`` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_tables import aws, make_table
from charged_table import ChargedClient
from moto import mock_aws
from unit.upkeep.posted_packs import MEASURED, ROOT, a_month, post

from spendfuse.ledger.dynamodb import DynamoLedger
from spendfuse.upkeep.cost_table import packing_table, rate_table, volume_table
from spendfuse.upkeep.writes import posting_units

PAGE = Path(__file__).parents[3] / "docs" / "scale.md"
CHECKED = ((1, 1), (20, 1), (20, 20), (200, 1), (200, 100), (500, 100), (500, 500))


def checked_table() -> Iterator[str]:
    """Yield the write units of one posting: of the model, and of the items as they were written."""
    yield "| records | users | by the model | as written |"
    yield "|---:|---:|---:|---:|"
    for records, users in CHECKED:
        with mock_aws():
            client, work = ChargedClient(aws("dynamodb")), a_month(records, users)
            post(work, DynamoLedger(client, make_table("ledger")), (ROOT,))
        modelled = posting_units(work, MEASURED).written
        yield f"| {records:,} | {users:,} | {modelled} | {client.written} |"


TABLES = {
    "packing": packing_table,
    "volume": volume_table,
    "rates": rate_table,
    "checked": checked_table,
}


def block(name: str) -> re.Pattern[str]:
    return re.compile(rf"(<!-- made: {name} -->\n)(.*?)(<!-- end: {name} -->)", re.DOTALL)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_docs_is_the_model_s(name: str) -> None:
    found = block(name).search(PAGE.read_text(encoding="utf-8"))

    assert found is not None
    assert found[2] == "\n".join(TABLES[name]()) + "\n"


def write() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, table in TABLES.items():
        made = "\n".join(table())
        text = block(name).sub(lambda found, made=made: f"{found[1]}{made}\n{found[3]}", text)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
