"""The tables of docs/scale.md are what the model and the ledger give today.

``python tests/unit/upkeep/test_scale_doc.py`` writes them anew.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from spendfuse.upkeep.cost_table import packing_table, volume_table

PAGE = Path(__file__).parents[3] / "docs" / "scale.md"
TABLES = {"packing": packing_table, "volume": volume_table}


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
