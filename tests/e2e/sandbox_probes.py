"""What the sandbox's tests look at from outside: processes, ports, the passing of time."""

import socket
import time
from pathlib import Path


def eventually(found, seconds=30):
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.05)
    return value


def listeners(processes):
    """Every (address, port) on which one of the processes listens."""
    links = [each for process in processes for each in Path(f"/proc/{process}/fd").iterdir()]
    targets = {str(link.readlink()) for link in links if link.is_symlink()}
    inodes = {each.removeprefix("socket:[").removesuffix("]") for each in targets}
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((table, address, int(port, 16)))
    return found


def family(process):
    """The process and all below it."""
    children = Path(f"/proc/{process}/task/{process}/children")
    below = [int(each) for each in children.read_text().split()] if children.exists() else []
    return [process, *(each for child in below for each in family(child))]


def is_alive(process):
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def refuses_connections(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
