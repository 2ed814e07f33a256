"""The four services: migrated, then served."""

import hashlib
import sys
from importlib.util import find_spec
from pathlib import Path

from tonearm_local import environment, kafka, probes
from tonearm_local.component import Command, Component, Run, StepFailed
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT

_STOP_S = 25.0
"""A little more than the grace that a service gives its own running work."""


def component(settings: LocalSettings, name: str) -> Component:
    """Service *name*; it waits by itself for what it needs, save the database it migrates."""
    port: int = getattr(settings, f"{name}_http_port")
    mine = settings.database_url(name) is None

    def command(verb: str) -> Command:
        argv = [sys.executable, "-m", f"tonearm_{name}", verb]
        return Command(argv, environment.child(environment.service(settings, name)), ROOT)

    async def prepare(run: Run) -> None:
        if settings.object_store_url is None:
            settings.path("objects").mkdir(parents=True, exist_ok=True)
        if not settings.kafka_is_local:
            await run(kafka.create_topics(settings))
        wanted, stamp = _migrations(name), settings.path("postgres", f"migrated-{name}")
        if mine and stamp.is_file() and stamp.read_text("ascii") == wanted:
            return  # two seconds of a start saved; `serve` checks the schema anyway
        await run(command("migrate"))
        if mine:
            stamp.write_text(wanted, "ascii")

    async def ready() -> bool:
        return await probes.http_ok("127.0.0.1", port, "/readyz")

    return Component(
        name=name,
        command=lambda: command("serve"),
        ready=ready,
        prepare=prepare,
        after=("postgres",) if mine else (),
        ports=settings.ports()[name],
        url=f"http://127.0.0.1:{port}",
        stop_s=_STOP_S,
    )


def _migrations(name: str) -> str:
    """Digest of all SQL that the schema of *name* is made of."""
    digest = hashlib.sha256()
    for package, folder in (("tonearm_kit", "sql"), (f"tonearm_{name}", "migrations")):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise StepFailed(f"{package} is not installed: run `make setup`")
        for path in sorted((Path(spec.origin).parent / folder).glob("*.sql")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
