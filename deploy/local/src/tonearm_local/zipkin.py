"""Zipkin: the local home of traces, in memory.

Its jar holds all its libraries as jars inside the jar, which the JVM can neither map nor keep in a
class-data archive. Unpacked once, it starts with less than half of the processor time.
"""

import asyncio
import re
import shutil
import zipfile
from pathlib import Path

from tonearm_local import artifacts, environment, java, probes
from tonearm_local.component import Command, Component, Run
from tonearm_local.settings import LocalSettings
from tonearm_local.surroundings import ROOT

_SPANS_MAX = 100_000
_MAIN = "zipkin.server.ZipkinServer"
_CLASSES = "BOOT-INF/classes/"
_INDEX = "BOOT-INF/classpath.idx"


def unpacked() -> Path:
    """Where the pinned version lies unpacked; shared by all stacks of this checkout."""
    (jar,) = artifacts.pinned("zipkin")
    return ROOT / ".local" / "tools" / f"zipkin-{jar.sha256[:12]}"


def unpack(jar: Path, target: Path) -> None:
    """Unpack *jar*, whose checksum was right, into *target*; an unfinished one never has that name.

    Its own classes become one jar, since only jars can be archived.
    """
    scratch = target.with_name(f"{target.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    (scratch / "lib").mkdir(parents=True)
    with (
        zipfile.ZipFile(jar) as whole,
        zipfile.ZipFile(scratch / "lib" / "classes.jar", "w") as own,
    ):
        order = re.findall(r'"BOOT-INF/lib/([^/"]+)"', whole.read(_INDEX).decode())
        for name in order:
            (scratch / "lib" / name).write_bytes(whole.read(f"BOOT-INF/lib/{name}"))
        for name in whole.namelist():
            if name.startswith(_CLASSES) and name != _CLASSES:
                own.writestr(name.removeprefix(_CLASSES), whole.read(name))
    (scratch / "order").write_text("\n".join(["classes.jar", *order]), "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    scratch.rename(target)


def component(settings: LocalSettings) -> Component:
    """Zipkin's server with its own web page on the same port."""
    base, port = settings.path("zipkin"), settings.zipkin_port

    def command() -> Command:
        home = unpacked()
        order = (home / "order").read_text("utf-8").splitlines()
        argv = [
            *java.launcher(
                settings, heap_mib=settings.zipkin_heap_mib, archive=base / "zipkin.jsa"
            ),
            # The list of ports is replaced whole; by itself Zipkin would listen on all addresses.
            "-Darmeria.ports[0].ip=127.0.0.1",
            f"-Darmeria.ports[0].port={port}",
            "-Darmeria.ports[0].protocols[0]=http",
            "-cp",
            ":".join(str(home / "lib" / name) for name in order),
            _MAIN,
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
        (jar,) = artifacts.class_path("zipkin")
        if not (unpacked() / "order").is_file():
            await asyncio.to_thread(unpack, jar, unpacked())

    async def ready() -> bool:
        return await probes.http_ok("127.0.0.1", port, "/health")

    return Component(
        name="zipkin",
        command=command,
        ready=ready,
        prepare=prepare,
        ports=settings.ports()["zipkin"],
        url=f"http://127.0.0.1:{port}",
        stop_s=30.0,  # it writes its class-data archive at the end
    )
