"""``python -m spendfuse``: the same as the ``spendfuse`` command."""

from spendfuse.cli.main import main

main()
