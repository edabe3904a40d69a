"""The ``spendfuse`` command, and ``python -m spendfuse``.

The SDK is installed without the command's libraries; then this says what is missing.
"""

import sys


def main() -> None:
    try:
        from spendfuse.cli.main import main as command  # noqa: PLC0415
    except ModuleNotFoundError as error:
        sys.exit(f"the spendfuse command needs {error.name}; pip install 'spendfuse[cli]'")
    command()


if __name__ == "__main__":
    main()
