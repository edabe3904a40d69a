import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spendfuse.sandbox.leash import ENDED_BY_LEASH, leashed

# Says its own and its child's process number, then waits for both to be ended.
FAMILY = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(os.getpid(), child.pid, flush=True)
time.sleep(600)
"""


def a_family(**options):
    process = subprocess.Popen(
        leashed([sys.executable, "-c", FAMILY], **options),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    return process, [int(number) for number in process.stdout.readline().split()]


def run_to_its_end(code):
    leash = subprocess.Popen(
        leashed([sys.executable, "-c", code]), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with leash:
        output = leash.stdout.read()
        leash.wait()
    return leash, output


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A zombie waits for a parent that may never ask; it runs no more.
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def all_end(processes):
    deadline = time.monotonic() + 20
    while any(is_alive(each) for each in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("code", [0, 1, 7])
def test_the_commands_exit_code_is_passed_on(code):
    leash, _ = run_to_its_end(f"raise SystemExit({code})")

    assert leash.returncode == code


def test_the_whole_family_ends_with_the_lifeline():
    leash, family = a_family()

    with leash:
        leash.stdin.close()

        assert all_end(family)
    assert leash.returncode == ENDED_BY_LEASH


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_whole_family_ends_when_the_leash_is_signalled(number):
    leash, family = a_family()

    with leash:
        leash.send_signal(number)

        assert all_end(family)
    assert leash.returncode == ENDED_BY_LEASH


def test_a_leash_without_lifeline_holds_until_it_is_signalled():
    leash, family = a_family(lifeline=False)

    with leash:
        leash.stdin.close()
        time.sleep(0.3)
        still_there = all(is_alive(each) for each in family)
        leash.terminate()

        assert still_there
        assert all_end(family)


def test_children_that_a_command_left_behind_end_with_it():
    orphan = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL)\n"
        "print(child.pid)"
    )
    _, output = run_to_its_end(orphan)

    assert all_end([int(output)])


def test_a_parent_that_is_killed_outright_leaves_nothing():
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            (
                "import subprocess, sys, time\n"
                f"subprocess.Popen({leashed([sys.executable, '-c', FAMILY])!r},"
                " stdin=subprocess.PIPE)\n"
                "time.sleep(600)"
            ),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        family = [int(number) for number in parent.stdout.readline().split()]
        parent.kill()

        assert all_end(family)
