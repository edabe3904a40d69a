import errno
from pathlib import Path

import pytest

from spendfuse.errors import SettingsError, UnavailableError
from spendfuse.sandbox.folder import Folder, Running, disk_error

RUNNING = Running(
    process=4242,
    token="a1b2",
    port=4566,
    account="111122223333",
    region="us-east-1",
    inbox_url="http://127.0.0.1:1",
    smtp_port=25,
)


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path)
    folder.make()
    return folder


def test_a_full_disk_is_said_in_one_sentence_and_may_be_tried_again():
    error = disk_error(Path("/somewhere"), OSError(errno.ENOSPC, "No space left on device"))

    assert isinstance(error, UnavailableError)
    assert str(error).startswith("no space left on the device that holds /somewhere")


def test_any_other_trouble_with_the_disk_is_named():
    error = disk_error(Path("/somewhere"), OSError(errno.EACCES, "Permission denied"))

    assert isinstance(error, SettingsError)
    assert str(error) == "the sandbox can't write to /somewhere: Permission denied"


def test_a_sandbox_is_found_while_its_process_holds_the_folder(folder):
    with folder.locked():
        folder.write_state(RUNNING)

        assert folder.running() == RUNNING


def test_a_state_that_nobody_holds_is_stale(folder):
    folder.write_state(RUNNING)

    assert folder.running() is None
    assert Folder(folder.path / "never-made").running() is None


def test_a_folder_that_is_held_names_the_holder_and_the_way_out(folder):
    with folder.locked():
        folder.write_state(RUNNING)

        with (
            pytest.raises(SettingsError, match=r"\(process 4242\); stop it with `spend"),
            folder.locked(),
        ):
            pass


def test_a_state_that_can_not_be_read_is_no_sandbox(folder):
    folder.state.write_text("{", encoding="utf-8")
    with folder.locked():
        assert folder.running() is None
