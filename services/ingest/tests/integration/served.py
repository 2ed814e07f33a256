"""Ingest's HTTP door in a process of its own, with everything real but auth.

    python served.py <token>      settings come from the environment, as for the service

Prints the port once it serves; everybody with the token is "anna".
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from tonearm_ingest.adapters.postgres import PostgresLibrary
from tonearm_ingest.adapters.probe_child import ProbeLimits
from tonearm_ingest.adapters.prober import ProcessProber
from tonearm_ingest.bootstrap import SOURCE, Parts, make_app, open_blobs
from tonearm_ingest.settings import Settings
from tonearm_ingest.usecases.ports import Caller, Reserve
from tonearm_kit import lifecycle, tokens
from tonearm_kit.clock import SystemClock
from tonearm_kit.db import Database
from tonearm_kit.http import serve
from tonearm_kit.ids import new_id
from tonearm_kit.outbox import Outbox


class Generous:
    """Port `Entitlements`: everybody may do everything."""

    async def flags(self, caller: Caller) -> frozenset[str]:
        return frozenset({"audio-upload", "audio-analysis", "audio-download"})

    async def size_bytes_max(self, caller: Caller, *, size_bytes: int) -> int | None:
        return None

    async def reserve(self, wanted: Reserve) -> str:
        return "r"


class OneToken(tokens.TokenVerifier):
    """Knows one token, and whose it is."""

    def __init__(self, token: str) -> None:
        super().__init__(tokens.StaticKeys({"keys": []}), issuer="i", audience="a")
        self._token = token

    async def verify(self, token: str) -> tokens.Principal:
        if token != self._token:
            raise tokens.TokenInvalid
        end = datetime(2100, 1, 1, tzinfo=UTC)
        return tokens.Principal("anna", "s", "free", False, False, end, "t")


def _tell(port: int) -> None:
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def main(stop: asyncio.Event) -> None:
    settings = Settings()
    limits = ProbeLimits(
        read_bytes_max=settings.probe_read_bytes_max,
        address_space_bytes_max=settings.probe_address_space_bytes_max,
        tag_chars_max=settings.tag_chars_max,
    )
    async with (
        Database.open(settings.database_url, schema=settings.database_schema) as db,
        ProcessProber.open(
            settings.object_store_url, children_max=1, timeout_s=20, limits=limits
        ) as prober,
    ):
        await prober.warm_up()
        outbox = Outbox(source=SOURCE, clock=SystemClock(), new_id=new_id)
        parts = Parts(
            settings=settings,
            db=db,
            library=PostgresLibrary(db, outbox),
            blobs=open_blobs(settings),
            entitlements=Generous(),
            prober=prober,
            verifier=OneToken(sys.argv[1]),
        )
        await serve(
            make_app(parts),
            host="127.0.0.1",
            port=0,
            stop=stop,
            on_started=_tell,
        )


if __name__ == "__main__":
    sys.exit(lifecycle.run_service(main, grace_s=5))
