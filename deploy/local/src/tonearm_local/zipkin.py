"""Zipkin: the local home of traces, in memory."""

from tonearm_local import artifacts, environment, java, probes
from tonearm_local.component import Command, Component, Run
from tonearm_local.settings import LocalSettings

_SPANS_MAX = 100_000


def component(settings: LocalSettings) -> Component:
    """Zipkin's server with its own web page on the same port."""
    base, port = settings.path("zipkin"), settings.zipkin_port

    def command() -> Command:
        (jar,) = artifacts.class_path("zipkin")
        argv = [
            *java.launcher(
                settings, heap_mib=settings.zipkin_heap_mib, archive=base / "zipkin.jsa"
            ),
            # The list of ports is replaced whole; by itself Zipkin would listen on all addresses.
            "-Darmeria.ports[0].ip=127.0.0.1",
            f"-Darmeria.ports[0].port={port}",
            "-Darmeria.ports[0].protocols[0]=http",
            "-jar",
            str(jar),
        ]
        extra = {
            "QUERY_PORT": str(port),
            "STORAGE_TYPE": "mem",
            "MEM_MAX_SPANS": str(_SPANS_MAX),
            "JAVA_OPTS": "",
        }
        return Command(argv, environment.child(extra), base)

    async def prepare(_run: Run) -> None:
        base.mkdir(parents=True, exist_ok=True)

    async def ready() -> bool:
        return await probes.http_ok("127.0.0.1", port, "/health")

    return Component(
        name="zipkin",
        command=command,
        ready=ready,
        prepare=prepare,
        ports=settings.ports()["zipkin"],
        url=f"http://127.0.0.1:{port}",
        stop_s=10.0,
    )
