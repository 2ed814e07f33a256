"""The load on notify beside its peer: `python -m tests.load [scenario ...]`.

Needs Go and the local stack. Every scenario runs against both servers, one after the other, on
the same machine and with the same client; each server is started afresh for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tonearm_kit.testing.postgres import SCHEMA, temporary_database
from tonearm_notify import bootstrap

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / ".local" / "load"
PEER_PORT = 18021


@dataclass(frozen=True)
class Scenario:
    """How many connections follow how many channels, and how often something is published."""

    connections: int
    channels: int = 1
    messages: int = 0
    rate: float = 0.0


SCENARIOS = {
    "idle": Scenario(10_000),
    "fan-1000": Scenario(1_000, messages=200),
    "fan-5000": Scenario(5_000, messages=60),
    "fan-10000": Scenario(9_900, messages=30),
    "channels": Scenario(5_000, channels=1_000, messages=3_000, rate=150.0),
}


@dataclass(frozen=True)
class Server:
    """Where a running server is."""

    pid: int
    url: str
    publish: str
    token: str


@asynccontextmanager
async def peer() -> AsyncIterator[Server]:
    """Run the Centrifuge library's server."""
    address = f"127.0.0.1:{PEER_PORT}"
    process = await asyncio.create_subprocess_exec(str(BUILT / "peer"), "-address", address)
    try:
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", PEER_PORT)
                    break
                except OSError:
                    await asyncio.sleep(0.05)
        writer.close()
        yield Server(
            process.pid,
            f"ws://{address}/connection/websocket",
            f"http://{address}/publish?channel=",
            "",
        )
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def notify() -> AsyncIterator[Server]:
    """Run notify on a database of its own."""
    async with temporary_database(bootstrap.COMPONENTS) as url:
        environment = {
            **os.environ,
            "NOTIFY_DATABASE_URL": url,
            "NOTIFY_DATABASE_SCHEMA": SCHEMA,
            "NOTIFY_WS_PORT": "0",
            "NOTIFY_HTTP_PORT": "0",
            "NOTIFY_CONNECTIONS_PER_ACCOUNT_MAX": "1000000",
            "NOTIFY_CONNECTS_PER_S": "100000",
            "NOTIFY_CONNECTS_BURST": "100000",
            "NOTIFY_DRAIN_WINDOW_S_MAX": "1",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "server.py"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            told = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
            yield Server(
                process.pid,
                f"ws://127.0.0.1:{told['ws']}/connection/websocket",
                f"http://127.0.0.1:{told['http']}/publish?channel=",
                told["token"],
            )
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def measure(server: Server, scenario: Scenario) -> dict[str, Any]:
    """Run the client against a server and return what it measured."""
    arguments = {
        "url": server.url,
        "publish": server.publish,
        "token": server.token,
        "pid": server.pid,
        "n": scenario.connections,
        "m": scenario.messages,
        "channels": scenario.channels,
        "rate": scenario.rate,
    }
    process = await asyncio.create_subprocess_exec(
        str(BUILT / "load"),
        *(part for name, value in arguments.items() for part in (f"-{name}", str(value))),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 600)
    measured: dict[str, Any] = json.loads(told)
    return measured


async def run(names: list[str], repeat: int) -> list[dict[str, Any]]:
    """Run scenarios against both servers, alternating."""
    results = []
    for name in names:
        for turn in range(repeat):
            for kind, start in (("peer", peer), ("notify", notify)):
                async with start() as server:
                    measured = await measure(server, SCENARIOS[name])
                results.append({"scenario": name, "server": kind, "turn": turn, **measured})
                sys.stderr.write(json.dumps(results[-1]) + "\n")
    return results


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a Markdown table."""
    lines = [
        "| scenario | server | connections | messages/s | p50 ms | p99 ms "
        "| server's processor us per message (in the kernel) | kB per connection |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['scenario']} | {r['server']} | {r['connections']} | {r['messages_per_s']:.0f} "
        f"| {r['p50_ms']:.1f} | {r['p99_ms']:.1f} | {r['processor_us_per_message']:.1f} "
        f"({r['kernel_share']:.0%}) "
        f"| {r['memory_kb_per_connection']:.1f} |"
        for r in results
    ]
    return "\n".join(lines)


def main() -> None:
    """Build the Go programs, run, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenarios", nargs="*", default=list(SCENARIOS), choices=SCENARIOS)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file for the raw results")
    options = parser.parse_args()
    BUILT.mkdir(parents=True, exist_ok=True)
    build = ["go", "build", "-o", f"{BUILT}/", "./load", "./peer"]
    subprocess.run(build, cwd=HERE / "go", check=True)
    results = asyncio.run(run(list(options.scenarios), options.repeat))
    load = os.getloadavg()[0]
    print(f"{platform.machine()}, {os.cpu_count()} cores, load average {load:.1f} at the end\n")
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
