"""What to do about what a Valkey or Redis server answers; no host, no password in it."""

from __future__ import annotations

_BY_CLASS = {
    "NoPermissionError": "NOPERM",
    "ReadOnlyError": "READONLY",
    "OutOfMemoryError": "OOM",
    "BusyLoadingError": "LOADING",
    "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN",
    "TimeoutError": "TIMEOUT",
}
"""The client takes the server's code off its text and makes a class of it."""
_ADVICE = {
    "Authentication required": "it wants a password: set SPENDFUSE_VALKEY_PASSWORD_FILE",
    "AuthenticationError": (
        "it refuses the password: check SPENDFUSE_VALKEY_PASSWORD_FILE and the user's name"
    ),
    "NOPERM": "its user may not do this: allow EVALSHA, EVAL, GET and what scripts need on "
    "the keys spendfuse:*",
    "READONLY": "it is a read-only replica: name the primary's endpoint",
    "WRONGTYPE": "other data lies under its keys spendfuse:*: give it a database of its own",
    "OOM": "its memory is full: raise maxmemory, with maxmemory-policy noeviction",
    "MISCONF": "it can't save to its disk, and takes no writes until it can",
    "LOADING": "it is starting, and loads its data",
    "BUSY": "a script of somebody else keeps it busy",
    "CROSSSLOT": "it is a cluster: pass a valkey.cluster.ValkeyCluster",
    "MOVED": "it is a cluster: pass a valkey.cluster.ValkeyCluster",
    "CLUSTERDOWN": "its cluster is down",
    "MASTERDOWN": "its primary is down",
    "NOREPLICAS": "it has too few replicas to take writes",
    "TIMEOUT": "it did not answer in time",
}
_PHRASES = {
    "unauthenticated multibulk": "Authentication required",
    "ACL failure in script": "NOPERM",
    "can't run this command": "NOPERM",
    "can't access at least one of the keys": "NOPERM",
    "read only replica": "READONLY",
}
"""How else servers say it: newer and older ones, and from within a script."""


def advice(error: Exception) -> str:
    """Return what is wrong with the server, in words that may reach anybody."""
    name, text = type(error).__name__, str(error)
    code = _BY_CLASS.get(name)
    if code is None:
        codes = [each for each in _ADVICE if each in text]
        codes += [meant for phrase, meant in _PHRASES.items() if phrase in text]
        code = codes[0] if codes else name
    return _ADVICE.get(code, "it can't be reached" if "Connection" in name else f"{name}")
