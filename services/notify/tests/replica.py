"""A replica in a process of its own, to be killed: `python replica.py WS_PORT HTTP_PORT JWKS_FILE`.

Reads `NOTIFY_*` as the service does. Kafka is left out: tests record events themselves.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from tonearm_kit import logs
from tonearm_kit.lifecycle import run_service
from tonearm_kit.tokens import StaticKeys, TokenVerifier
from tonearm_kit.wiring import open_database
from tonearm_notify import bootstrap
from tonearm_notify.adapters.sender import open_client
from tonearm_notify.settings import NotifySettings


async def replica(stop: asyncio.Event) -> None:
    settings = NotifySettings(ws_port=int(sys.argv[1]), http_port=int(sys.argv[2]))
    keys = StaticKeys(json.loads(Path(sys.argv[3]).read_text(encoding="utf-8")))
    verifier = TokenVerifier(
        keys, issuer=settings.token_issuer, audience=settings.token_audience, leeway_s=0
    )
    async with open_database(settings, service="notify") as db, open_client() as client:
        house = bootstrap.build(settings, db, verifier, client)
        await bootstrap.serve_pushes(settings, house, stop)


if __name__ == "__main__":
    logs.configure("notify", level="INFO", format="json")
    raise SystemExit(run_service(replica, grace_s=20.0))
