"""The CDK CLI, the pinned and real one, run against the sandbox.

It runs on a leash, with the sandbox's environment and no way to reach anything else. All
that it prints goes to ``cdk.log`` in the sandbox's folder and, line by line, to whoever asks.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from spendfuse.errors import SettingsError, SpendfuseError
from spendfuse.sandbox.environment import cdk_environment, tool_folders
from spendfuse.sandbox.folder import disk_error
from spendfuse.sandbox.leash import leashed
from spendfuse.sandbox.machine import Sandbox

OnLine = Callable[[str], None]

_CLI = Path("node_modules", "aws-cdk", "bin", "cdk")
_QUIET = ("--no-notices", "--no-color")
_REASONS_QUOTED = 8
_APP_FAILED = "Subprocess exited with error"
_APP_LINES_QUOTED = 20
_DISK_FULL = re.compile(r"ENOSPC|No space left on device", re.IGNORECASE)
_LINES_KEPT = 200
_FAILURE = re.compile(r"_FAILED\b|\bROLLBACK\b|❌|\bError\b|\berror\b|Exception\b")


class DeployError(SpendfuseError):
    """The CDK CLI failed; the message quotes its reasons."""


def no_listener(_line: str) -> None:
    """Listen to nothing: the log has it all."""


def bootstrap(
    sandbox: Sandbox, *, project: Path | None = None, on_line: OnLine = no_listener
) -> None:
    """Make the account ready for deployments, without synthesising any app."""
    target = f"aws://{sandbox.running.account}/{sandbox.running.region}"
    # From a folder without cdk.json, or the CLI would run the app that it names.
    _run(sandbox, ["bootstrap", target], project=project, cwd=sandbox.folder.home, on_line=on_line)


def deploy(
    sandbox: Sandbox,
    app: str | None = None,
    *,
    project: Path | None = None,
    context: Mapping[str, object] | None = None,
    stacks: Sequence[str] = ("--all",),
    cwd: Path | None = None,
    output: Path,
    on_line: OnLine = no_listener,
) -> dict[str, dict[str, str]]:
    """Deploy and return each stack's outputs by stack and logical id.

    ``app`` is a command or a folder that was synthesised before; None takes cdk.json's. The
    cdk.json is the one in ``cwd``, by default the project's.

    Raises:
        DeployError: the CLI failed; the message has CloudFormation's own reasons.
    """
    outputs = sandbox.folder.path / "outputs.json"
    outputs.unlink(missing_ok=True)
    command = [
        *("deploy", *stacks),
        *_app(app, context),
        *("--require-approval", "never"),
        *("--progress", "events"),
        *("--concurrency", "4"),
        *("--outputs-file", str(outputs)),
        *("--output", str(output.absolute())),
    ]
    _run(sandbox, command, project=project, cwd=cwd, on_line=on_line)
    found: dict[str, dict[str, str]] = json.loads(outputs.read_text()) if outputs.exists() else {}
    return found


def _app(app: str | None, context: Mapping[str, object] | None) -> list[str]:
    given = [] if app is None else ["--app", app]
    for name, value in (context or {}).items():
        text = value if isinstance(value, str) else json.dumps(value)
        given += ["--context", f"{name}={text}"]
    return given


def _run(
    sandbox: Sandbox,
    arguments: Sequence[str],
    *,
    project: Path | None,
    cwd: Path | None = None,
    on_line: OnLine,
) -> None:
    project = (project or Path.cwd()).absolute()
    command = [str(_node()), str(_cli(project)), *arguments, *_QUIET]
    last: deque[str] = deque(maxlen=_LINES_KEPT)
    with _started(sandbox, command, cwd or project) as process:
        for line in _logged(sandbox.folder.cdk_log, process):
            last.append(line)
            on_line(line)
    if process.returncode and any(_DISK_FULL.search(line) for line in last):
        raise disk_error(sandbox.folder.path, OSError(errno.ENOSPC, "no space left"))
    if process.returncode:
        raise DeployError(
            f"`cdk {arguments[0]}` failed with exit code {process.returncode}:\n"
            f"{failure_reasons(last)}\nAll of it is in {sandbox.folder.cdk_log}"
        )


@contextlib.contextmanager
def _started(
    sandbox: Sandbox, command: Sequence[str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command; whatever happens meanwhile, it has ended afterwards."""
    try:
        process = subprocess.Popen(
            leashed(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=cdk_environment(sandbox.folder, sandbox.running, os.environ),
            start_new_session=True,
        )
    except OSError as error:
        raise disk_error(sandbox.folder.path, error) from error
    assert process.stdin is not None  # noqa: S101 - it is a pipe
    with process:
        try:
            yield process
            process.wait()
        finally:
            # The lifeline: when we leave early, the CLI is ended here.
            process.stdin.close()


def _logged(log_file: Path, process: subprocess.Popen[bytes]) -> Iterator[str]:
    assert process.stdout is not None  # noqa: S101 - it is a pipe
    for raw in process.stdout:
        line = raw.decode("utf-8", errors="replace").rstrip()
        try:
            with log_file.open("a", encoding="utf-8") as log:
                log.write(line + "\n")
        except OSError as error:
            raise disk_error(log_file.parent, error) from error
        yield line


def failure_reasons(lines: Sequence[str] | deque[str]) -> str:
    """Return the lines that say why, first ones first; the last lines when none does."""
    lines = list(lines)
    broke_off = next((n for n, line in enumerate(lines) if _APP_FAILED in line), None)
    if broke_off is not None:
        # The app said why before it gave up.
        lines = [line for line in lines[:broke_off] if line.strip()]
        return "\n".join(f"  {line}" for line in lines[-_APP_LINES_QUOTED:])
    telling = list(dict.fromkeys(line.strip() for line in lines if _FAILURE.search(line)))
    chosen = telling[:_REASONS_QUOTED] or list(lines)[-_REASONS_QUOTED:]
    return "\n".join(f"  {line}" for line in chosen)


def _cli(project: Path) -> Path:
    for folder in (project, *project.parents):
        if (folder / _CLI).is_file():
            return folder / _CLI
    raise SettingsError(f"the CDK CLI is not installed in {project}: run `npm ci` there")


def _node() -> Path:
    for folder in tool_folders()[::-1]:
        if (Path(folder) / "node").is_file():
            return Path(folder) / "node"
    raise SettingsError("Node is not installed here: install spendfuse's extra `sandbox`")
