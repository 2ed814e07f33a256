"""Where the Kafka for tests is."""

from __future__ import annotations

import os
import socket

VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
LOCAL = "127.0.0.1:9092"


class NoKafka(RuntimeError):
    """No Kafka for tests: run `make up`, or point KAFKA_BOOTSTRAP_SERVERS at one."""


def bootstrap_servers() -> str:
    """Return the address of a broker that accepts connections. Raises `NoKafka`."""
    servers = os.environ.get(VARIABLE) or LOCAL  # noqa: TID251 - read by tests only
    host, _, port = servers.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except (OSError, ValueError) as error:
        raise NoKafka(f"{NoKafka.__doc__} ({servers}: {error})") from error
    return servers
