"""notify for the load: `python -m tests.load.server direct|kafka`, the real service.

On both roads an event is recorded in the history and announced by Postgres, goes from the
announcement through the hub to the sockets, and leaves the spans of the way.

`direct` records what is posted to its door, everything that waits in one transaction, inbox
included, as the consumer does with a polled batch. `kafka` runs the service's consumer and nothing of the load:
`tests.load.producer` puts the events into the topic.

Prints `ready` and, as JSON, its ports and a token. Settings are the service's own
(`NOTIFY_*`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from functools import partial
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from tests.load import door
from tonearm_contracts import topics
from tonearm_contracts.envelope import CloudEvent
from tonearm_kit import logs, telemetry
from tonearm_kit.db import Database
from tonearm_kit.ids import new_id
from tonearm_kit.inbox import PostgresInbox
from tonearm_kit.kafka import KafkaProducer, admin
from tonearm_kit.kafka.effects import Effects
from tonearm_kit.kafka.headers import encode
from tonearm_kit.lifecycle import run_service
from tonearm_kit.migrations import migrate
from tonearm_kit.settings import load
from tonearm_kit.tokens import StaticKeys, TokenVerifier
from tonearm_kit.wiring import open_database
from tonearm_notify import bootstrap
from tonearm_notify.adapters.postgres import PostgresStore
from tonearm_notify.adapters.sender import open_client
from tonearm_notify.entrypoints import consumers
from tonearm_notify.settings import NotifySettings
from tonearm_notify.usecases.record import Books, record

ACCOUNT = "load"
_BATCH_MAX = 500
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


class Recorder:
    """Records what is taken, all that waits in one transaction, as the consumer does."""

    def __init__(self, db: Database, books: Books) -> None:
        self._effects = Effects(
            group="load",
            db=db,
            handlers={},
            batch_handlers={},
            statement_handlers=consumers.statement_handlers(partial(record, books=books)),
            job_handlers={},
            handler_timeout_s=30.0,
            job_timeout_s=30.0,
            inbox=PostgresInbox(),
        )
        self._waiting: asyncio.Queue[tuple[CloudEvent, asyncio.Future[None]]] = asyncio.Queue()

    async def take(self, event: CloudEvent) -> None:
        """Return when the event is committed."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((event, done))
        await done

    async def run(self) -> None:
        """Record until cancelled."""
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < _BATCH_MAX and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            with _tracer.start_as_current_span("process load"):
                if len(batch) == 1:
                    await self._effects.apply(batch[0][0])
                else:
                    await self._effects.apply_batch([event for event, _ in batch])
            for _, done in batch:
                done.set_result(None)


async def consume_one(settings: NotifySettings, db: Database) -> None:
    """Return once the consumer has its partitions: an event put into one is in the history."""
    event = door.to_event("audio:warm", b"{}")
    async with KafkaProducer.open(settings.kafka_bootstrap_servers, client_id="load") as producer:
        await producer.send([encode(event, topic=topics.INGEST_AUDIO.name)])
    store = PostgresStore(db)
    async with asyncio.timeout(60):
        while (await store.load_top("audio:warm")).offset == 0:
            await asyncio.sleep(0.1)


async def add_owners(db: Database) -> None:
    """Give the recordings of the load to the account of its clients."""
    async with db.acquire() as conn:
        await conn.execute(
            "INSERT INTO audios (audio_id, account_id)"
            " SELECT 'load-' || n, $1 FROM generate_series(0, 9999) n ON CONFLICT DO NOTHING",
            ACCOUNT,
        )


async def serve(road: str, stop: asyncio.Event) -> None:
    """Serve until SIGTERM."""
    settings = load(NotifySettings)
    token, keys = make_token(settings)
    verifier = TokenVerifier(keys, issuer=settings.token_issuer, audience=settings.token_audience)
    async with open_database(settings, service="notify") as db, open_client() as client:
        await migrate(db, bootstrap.COMPONENTS)
        await add_owners(db)
        house = bootstrap.build(settings, db, verifier, client)
        bootstrap.settle_process()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(bootstrap.serve_pushes(settings, house, stop))
            await house.is_open()
            told: dict[str, Any] = {"ws": house.sockets.port, "token": token}
            extra: asyncio.Task[None] | None = None
            if road == "kafka":
                await admin.ensure_topics(settings.kafka_bootstrap_servers, topics.ALL)
                tasks.create_task(house.runner.run(stop))
                await consume_one(settings, db)
            elif road == "direct":
                recorder = Recorder(db, house.books)
                extra = tasks.create_task(recorder.run())
                told["http"] = await door.serve(recorder.take, tasks)
            sys.stdout.write(f"ready {json.dumps(told)}\n")
            sys.stdout.flush()
            await stop.wait()
            if extra is not None:
                extra.cancel()


def main() -> int:
    """Run the server as the service is run, telemetry included."""
    settings = load(NotifySettings)
    logs.configure("notify", level="WARNING", format="json")
    with telemetry.configure("notify", version="load", exporter=settings.otel_traces_exporter):
        return run_service(partial(serve, sys.argv[1]), grace_s=20.0)


if __name__ == "__main__":
    raise SystemExit(main())
