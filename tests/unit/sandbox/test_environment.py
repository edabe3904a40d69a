import os

import pytest

from spendfuse.sandbox.environment import (
    bare_environment,
    cdk_environment,
    client_environment,
    jsii_cache,
)
from spendfuse.sandbox.folder import Folder, Running

OUTSIDE = {
    "PATH": "/usr/bin",
    "HOME": "/home/somebody",
    "LANG": "C.UTF-8",
    "AWS_PROFILE": "production",
    "AWS_ACCESS_KEY_ID": "AKIAREAL",
    "AWS_SESSION_TOKEN": "real",
    "HTTPS_PROXY": "http://proxy:3128",
    "NODE_OPTIONS": "--inspect",
    "PYTHONPATH": "/somewhere",
}
RUNNING = Running(
    process=1,
    token="a",
    port=4566,
    account="111122223333",
    region="eu-west-1",
    inbox_url="http://127.0.0.1:1",
    smtp_port=25,
)


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


@pytest.mark.parametrize("name", sorted(OUTSIDE.keys() - {"PATH", "HOME", "LANG"}))
def test_nothing_of_the_users_gets_in(folder, name):
    assert name not in bare_environment(folder, OUTSIDE)
    assert cdk_environment(folder, RUNNING, OUTSIDE).get(name) != OUTSIDE[name]


def test_home_and_temporary_files_are_in_the_sandboxs_folder(folder):
    environment = bare_environment(folder, OUTSIDE)

    assert environment["HOME"] == str(folder.home)
    assert environment["TMPDIR"] == str(folder.temporary)


def test_our_own_programs_come_first(folder):
    first, *_, last = bare_environment(folder, OUTSIDE)["PATH"].split(os.pathsep)

    assert os.path.exists(os.path.join(first, "python"))  # noqa: PTH110, PTH118 - text in, text out
    assert last == "/usr/bin"


def test_clients_speak_to_the_sandbox_as_its_accounts_root(folder):
    environment = client_environment(folder, RUNNING)

    assert environment["AWS_ENDPOINT_URL"] == "https://127.0.0.1:4566"
    assert environment["AWS_ACCESS_KEY_ID"] == "111122223333"
    assert environment["AWS_REGION"] == environment["AWS_DEFAULT_REGION"] == "eu-west-1"


def test_unpacked_cdk_libraries_are_shared_with_the_outside(tmp_path):
    given = {"JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(tmp_path)}

    assert jsii_cache(given) == tmp_path
    assert "package-cache" in str(jsii_cache({}))
