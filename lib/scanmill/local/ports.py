"""Ports that are free: found, never assumed, and kept while nobody else took them."""

import random
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

from scanmill.errors import FatalError

LOOPBACK = "127.0.0.1"
_LOWEST = 20_000
_TRIES = 200


def choose(names: Iterable[str], remembered: Mapping[str, int]) -> dict[str, int]:
    """Return one free port for each name, the remembered one wherever it is still free."""
    chosen: dict[str, int] = {}
    for name in names:
        port = remembered.get(name, 0)
        if port in chosen.values() or not is_free(port):
            port = _find(set(chosen.values()) | set(remembered.values()))
        chosen[name] = port
    return chosen


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this loopback port now."""
    if not port:
        return False
    with socket.socket() as probe:
        # As servers do: a connection of the last one that is still dying is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Tell whether something answers on this loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((LOOPBACK, port)) == 0


def hostname() -> str:
    """Return the name by which Airflow's processes note each other: no name server is asked."""
    return LOOPBACK


def _find(taken: set[int]) -> int:
    """Return a free port below those that the kernel hands to outgoing connections.

    A port from that range may be in use as the near end of some connection just when a server
    that died wants it back; clients that knock meanwhile can even end up connected to themselves.
    """
    for _ in range(_TRIES):
        port = random.randrange(_LOWEST, _first_ephemeral())  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise FatalError(f"No free port found from [{_LOWEST}] up after {_TRIES} tries; close some")


def _first_ephemeral() -> int:
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 32_768
    return first if first > _LOWEST + 1000 else 65_536
