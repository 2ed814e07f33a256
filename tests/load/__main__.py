"""The load on notify beside its peer: `python -m tests.load [scenario ...]`.

Needs Go; starts a stack of its own unless it runs inside one. Every scenario runs against all
servers in turn, round after round, with the same client; each server is started afresh for it.
What is measured is added to `.local/load/results.json`, so that the scenarios can be run in
parts; `--report FILE` writes the tables into a document.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.load import drain, report
from tests.load.servers import BUILT, Server, notify, on_core, peer
from tonearm_local import testing

PAD_BYTES = 200
# So padded a message of the peer is as long as one of notify's (674 bytes), which carries the whole
# event, its time and its trace beside the padding.
SAME_LENGTH_PAD_BYTES = 583


@dataclass(frozen=True)
class Scenario:
    """How many connections follow how many channels, and how often something is published.

    `rate` is in publications per second; 0 waits for each one before the next.  `peer_pad_bytes`
    is the padding in publications through the peer.
    """

    connections: int
    channels: int = 1
    messages: int = 0
    rate: float = 0.0
    servers: tuple[str, ...] = ("peer", "notify")
    peer_pad_bytes: int = PAD_BYTES


_ALL = ("peer", "notify", "notify-kafka")
SCENARIOS = {
    "idle": Scenario(10_000),
    "fan-1000": Scenario(1_000, messages=100, servers=_ALL),
    "fan-5000": Scenario(5_000, messages=40),
    "fan-10000": Scenario(10_000, messages=20),
    **{
        f"fan-{n}-same-length": Scenario(n, messages=m, peer_pad_bytes=SAME_LENGTH_PAD_BYTES)
        for n, m in ((1_000, 100), (5_000, 40), (10_000, 20))
    },
    "burst": Scenario(1_000, messages=300, rate=1_000.0),
    "channels": Scenario(5_000, channels=1_000, messages=1_000, rate=150.0, servers=_ALL),
}
DRAIN = "drain"


def start(kind: str, core: int | None) -> AbstractAsyncContextManager[Server]:
    """Start a server by its name in the tables."""
    if kind == "peer":
        return peer(core)
    return notify("kafka" if kind == "notify-kafka" else "direct", core)


async def measure(
    server: Server, scenario: Scenario, *, pad_bytes: int, core: int | None = None
) -> dict[str, Any]:
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
        "pad": pad_bytes,
    }
    process = await asyncio.create_subprocess_exec(
        *on_core(core),
        str(BUILT / "load"),
        *(part for name, value in arguments.items() for part in (f"-{name}", str(value))),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await asyncio.wait_for(process.communicate(), 600)
    measured: dict[str, Any] = json.loads(told)
    return measured


async def run(names: list[str], *, rounds: int, pin: bool) -> list[dict[str, Any]]:
    """Run scenarios against their servers in turn, in another order every round."""
    results = []
    for name in names:
        if name == DRAIN:
            results.append({"scenario": DRAIN, **await drain.measure()})
            continue
        scenario = SCENARIOS[name]
        for turn in range(rounds):
            kinds = scenario.servers if turn % 2 == 0 else scenario.servers[::-1]
            for kind in kinds:
                async with start(kind, 0 if pin else None) as server:
                    pad_bytes = scenario.peer_pad_bytes if kind == "peer" else PAD_BYTES
                    measured = await measure(
                        server, scenario, pad_bytes=pad_bytes, core=1 if pin else None
                    )
                    about: dict[str, Any] = {
                        "scenario": f"{name}, a core each" if pin else name,
                        "server": kind,
                        "turn": turn,
                        "threads": server.threads,
                        **report.machine(),
                    }
                if server.sink is not None:
                    about["spans"] = server.sink.spans
                results.append({**about, **measured})
                sys.stderr.write(json.dumps(results[-1]) + "\n")
    return results


def _on_a_stack(work: partial[Any]) -> list[dict[str, Any]]:
    """Run where a stack runs, else on one of its own; its database does not wait for the disk."""
    if testing.from_environment() is not None:
        return list(asyncio.run(work()))
    with testing.temporary("--infra-only", "--without", "zipkin") as stack:
        os.environ.update(stack.env)
        return list(asyncio.run(work()))


def main() -> None:
    """Build the Go programs, run, add to the results, print and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("scenarios", nargs="*", help=f"of {', '.join([*SCENARIOS, DRAIN])}")
    parser.add_argument("--rounds", type=int, default=5, help="runs against each server")
    parser.add_argument("--pin", action="store_true", help="server and client on a core each")
    parser.add_argument("--json", type=Path, default=BUILT / "results.json", help="raw results")
    parser.add_argument("--report", type=Path, help="document whose tables are written anew")
    options = parser.parse_args()
    if unknown := set(options.scenarios) - {*SCENARIOS, DRAIN}:
        parser.error(f"no scenario called {', '.join(sorted(unknown))}")
    results = report.read(options.json)
    if options.scenarios or options.report is None:
        names = options.scenarios or [*SCENARIOS, DRAIN]
        BUILT.mkdir(parents=True, exist_ok=True)
        build = ["go", "build", "-o", f"{BUILT}/", "./load", "./peer"]
        subprocess.run(build, cwd=Path(__file__).parent / "go", check=True)
        fresh = _on_a_stack(partial(run, names, rounds=options.rounds, pin=options.pin))
        results = report.merge(results, fresh)
        report.write(results, options.json)
    print(report.tables(results))
    if options.report is not None:
        report.into(options.report, results)


if __name__ == "__main__":
    main()
