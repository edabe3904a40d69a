"""``spendfuse --help`` is quick: it loads no command."""

from __future__ import annotations

import subprocess
import sys

import click
from click.testing import CliRunner

from spendfuse.cli.main import _COMMANDS, main


def test_each_command_s_line_is_the_first_of_its_help() -> None:
    for name, (_, line) in _COMMANDS.items():
        command = main.get_command(click.Context(main), name)

        assert command.help.partition("\n")[0] == line


def test_the_help_lists_all_commands_and_exit_codes() -> None:
    page = CliRunner().invoke(main, ["--help"], obj=object()).output

    for name in _COMMANDS:
        assert f"\n  {name} " in page
    assert "4  the price book does not know the model" in page


def test_the_help_loads_no_command() -> None:
    code = (
        "import sys; from spendfuse.cli.main import main; main(['--help'], standalone_mode=False);"
        "loaded = [m for m in sys.modules if m.startswith(('spendfuse.cli.', 'spendfuse.metering',"
        " 'spendfuse.sandbox', 'genai_prices', 'pydantic'))];"
        "print(sorted(loaded))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert ran.stdout.splitlines()[-1] == "['spendfuse.cli.context', 'spendfuse.cli.main']"
