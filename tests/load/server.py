"""notify for the load: the real service without Kafka; `POST /publish` records events.

A publication takes the way of every event but Kafka: history in Postgres, announcement, hub,
sockets, with the spans of the way. Prints one JSON line with its ports and a token once it is
ready. Settings are the service's own (`NOTIFY_*`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from fastapi import APIRouter, Request
from jwt.algorithms import ECAlgorithm

from tonearm_contracts.envelope import CloudEvent
from tonearm_kit import logs, telemetry
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.lifecycle import run_service
from tonearm_kit.migrations import migrate
from tonearm_kit.settings import load
from tonearm_kit.tokens import StaticKeys, TokenVerifier
from tonearm_kit.wiring import open_database
from tonearm_notify import bootstrap
from tonearm_notify.adapters.sender import open_client
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.record import record

ACCOUNT = "load"
_tracer = telemetry.tracer(__name__)


def make_token(settings: NotifySettings) -> tuple[str, StaticKeys]:
    """Return an hour's token and the keys that it is checked with."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    now = int(time.time())
    claims = {
        "iss": settings.token_issuer,
        "aud": settings.token_audience,
        "sub": ACCOUNT,
        "sid": "load",
        "jti": new_id(),
        "iat": now,
        "exp": now + 3600,
    }
    token = jwt.encode(claims, key, algorithm="ES256", headers={"typ": "at+jwt", "kid": "load"})
    return token, StaticKeys({"keys": [{**public, "kid": "load", "use": "sig"}]})


def publishing(house: bootstrap.House, db: Database) -> APIRouter:
    """Return the route that records what it is sent."""
    router = APIRouter()

    @router.post("/publish")
    async def publish(request: Request, channel: str) -> None:
        audio_id = channel.removeprefix("audio:")
        event = CloudEvent(
            id=new_id(),
            source="/load",
            type="tonearm.audio.updated.v1",
            subject=audio_id,
            time=datetime.now(UTC),
            data={"audio_id": audio_id, **await request.json()},
        )
        with _tracer.start_as_current_span("process load"):
            async with db.begin() as tx:
                await record(tx, event, books=house.books)

    return router


async def serve(stop: asyncio.Event) -> None:
    """Serve until SIGTERM."""
    settings = load(NotifySettings)
    token, keys = make_token(settings)
    verifier = TokenVerifier(keys, issuer=settings.token_issuer, audience=settings.token_audience)
    async with open_database(settings, service="notify") as db, open_client() as client:
        await migrate(db, bootstrap.COMPONENTS)
        async with db.acquire() as conn:
            await conn.execute(
                "INSERT INTO audios (audio_id, account_id)"
                " SELECT 'load-' || n, $1 FROM generate_series(0, 9999) n ON CONFLICT DO NOTHING",
                ACCOUNT,
            )
        house = bootstrap.build(settings, db, verifier, client)
        house.app.include_router(publishing(house, db))
        bootstrap.settle_memory()
        ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bootstrap.serve_pushes(settings, house, stop, ready.set_result))
            await house.is_open()
            told = {"http": await ready, "ws": house.sockets.port, "token": token}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


def main() -> int:
    """Run the server as the service is run, telemetry included."""
    settings = load(NotifySettings)
    logs.configure("notify", level="WARNING", format="json")
    with telemetry.configure("notify", version="load", exporter=settings.otel_traces_exporter):
        return run_service(serve, grace_s=20.0)


if __name__ == "__main__":
    raise SystemExit(main())
