"""The four services: migrated, then served."""

import sys

from tonearm_local import environment, probes
from tonearm_local.component import Command, Component, Run
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
        await run(command("migrate"))

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
