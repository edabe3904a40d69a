"""How the sandbox starts, is found and stops, and what it leaves behind: nothing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from e2e.sandbox_probes import eventually, family, is_alive, listeners, refuses_connections

from spendfuse.errors import SettingsError
from spendfuse.sandbox.folder import Folder
from spendfuse.sandbox.machine import Sandbox

pytestmark = pytest.mark.e2e
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/fd").exists(), reason="looks at processes through Linux's /proc"
)


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    with Sandbox.start(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


# What it leaves behind


@needs_proc
def test_it_listens_on_loopback_only(sandbox):
    found = listeners(family(sandbox.running.process))

    assert {address for _, address, _ in found} == {"0100007F"}
    assert sandbox.running.port in {port for *_, port in found}


@needs_proc
def test_stopping_leaves_no_process_and_no_port(tmp_path):
    sandbox = Sandbox.start(tmp_path)
    processes = family(sandbox._leash.pid)
    sandbox.stop()

    assert not any(is_alive(each) for each in processes)
    assert refuses_connections(sandbox.running.port)
    assert not Folder(tmp_path).state.exists()
    assert not Folder(tmp_path).temporary.exists()


@needs_proc
def test_a_parent_that_is_killed_outright_takes_its_sandbox_with_it(tmp_path):
    code = (
        "import sys, time, pathlib\n"
        "from spendfuse.sandbox.machine import Sandbox\n"
        f"sandbox = Sandbox.start(pathlib.Path({str(tmp_path)!r}))\n"
        "print(sandbox._leash.pid, flush=True)\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        processes = family(int(parent.stdout.readline()))
        parent.kill()

    assert len(processes) >= 2
    assert eventually(lambda: not any(is_alive(each) for each in processes))


@needs_proc
def test_a_server_that_is_killed_outright_takes_its_lambdas_with_it(tmp_path):
    with Sandbox.start(tmp_path) as sandbox:
        processes = family(sandbox._leash.pid)
        os.kill(sandbox.running.process, signal.SIGKILL)

        assert eventually(lambda: not any(is_alive(each) for each in processes))
        assert Folder(tmp_path).running() is None


# Starting, finding, stopping


def test_a_second_sandbox_in_the_folder_is_told_of_the_first(sandbox):
    with pytest.raises(SettingsError) as refused:
        Sandbox.start(sandbox.folder.path)

    assert f"(process {sandbox.running.process}); stop it with" in str(refused.value)
    sandbox.check()


def test_a_taken_port_is_named(sandbox, tmp_path):
    with pytest.raises(SettingsError, match=f"port {sandbox.running.port} of 127.0.0.1 can't be"):
        Sandbox.start(tmp_path, port=sandbox.running.port)


def test_a_folder_that_can_not_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(SettingsError, match=r"can't write to .*file"):
        Sandbox.start(tmp_path / "file" / "sandbox")


def test_a_detached_sandbox_is_found_and_stopped_by_others(tmp_path):
    started = Sandbox.start(tmp_path, detached=True)
    found = Sandbox.attach(tmp_path)
    found.stop()

    assert found.running == started.running
    assert refuses_connections(started.running.port)
    with pytest.raises(SettingsError, match="no sandbox runs in"):
        Sandbox.attach(tmp_path)


def test_a_stale_state_file_is_no_sandbox(tmp_path):
    sandbox = Sandbox.start(tmp_path)
    sandbox.stop()
    Folder(tmp_path).write_state(sandbox.running)

    assert Folder(tmp_path).running() is None
    with Sandbox.start(tmp_path) as again:
        assert again.running.token != sandbox.running.token
