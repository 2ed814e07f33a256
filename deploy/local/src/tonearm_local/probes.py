"""Readiness seen from outside: small conversations over loopback, no client libraries."""

import asyncio
import socket
import struct

_TIMEOUT_S = 2.0
_API_VERSIONS = 18


async def http_ok(host: str, port: int, path: str) -> bool:
    """True when GET *path* is answered with 200 within two seconds."""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n"
    try:
        head = await asyncio.wait_for(_ask(host, port, request.encode(), 12), _TIMEOUT_S)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    return head.endswith(b" 200")


async def kafka_ok(host: str, port: int) -> bool:
    """True when a broker answers an ApiVersions request (version 0) without error."""
    body = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
    try:
        answer = await asyncio.wait_for(
            _ask(host, port, struct.pack(">i", len(body)) + body, 10), _TIMEOUT_S
        )
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    return answer[4:] == struct.pack(">ih", 1, 0)  # our correlation id, no error


async def _ask(host: str, port: int, request: bytes, n_bytes: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(request)
        await writer.drain()
        return await reader.readexactly(n_bytes)
    finally:
        writer.close()


def port_is_free(host: str, port: int) -> bool:
    """True when a server could listen on *port* now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
