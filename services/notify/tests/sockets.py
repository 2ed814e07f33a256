"""What the tests of sockets share."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

CLOSING_S_MAX = 20


async def closing_code(client: ClientConnection) -> int:
    """Read until the server closes and return its code; 1006 where it gave none."""
    async with asyncio.timeout(CLOSING_S_MAX):
        try:
            while True:
                await client.recv()
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
