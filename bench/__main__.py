"""`python -m bench [path] [gateway] [engine] [messaging]`: tables to standard output, JSON to .local/bench.

The benchmarks of the platform start a stack of their own beside any that runs.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bench import engine, gateway, messaging, path
from bench.report import Report, write
from tonearm_local import testing

_NAMES = ("engine", "gateway", "path", "messaging")


def main() -> None:
    """Run the benchmarks that the arguments name; all without arguments."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(_NAMES)}; all by default")
    parser.add_argument("--uploads", type=int, default=40, help="recordings on each road")
    parser.add_argument("--requests", type=int, default=2000, help="requests on each road")
    parser.add_argument("--concurrency", type=int, default=16, help="requests at the same time")
    parser.add_argument("--minutes", type=float, default=2.0, help="length of the engine's audio")
    parser.add_argument("--hours", type=float, default=0, help="also the engine's memory for these")
    parser.add_argument("--events", type=int, default=40_000, help="events in the topic")
    parser.add_argument("--out", type=Path, default=Path(".local/bench/results.json"))
    given = parser.parse_args()
    names = given.names or list(_NAMES)
    if unknown := set(names) - set(_NAMES):
        parser.error(f"no benchmark called {', '.join(sorted(unknown))}")
    reports: list[Report] = []
    if "engine" in names:
        reports.append(_show(engine.measure(minutes=given.minutes, hours=given.hours)))
    if {"gateway", "path"} & set(names):
        reports += _on_a_stack(names, given)
    if "messaging" in names:
        reports.append(_show(_on_infrastructure(events=given.events)))
    write(reports, given.out)
    print(f"written to {given.out}")


def _on_a_stack(names: list[str], given: argparse.Namespace) -> list[Report]:
    running = testing.from_environment()
    if running is None:
        with testing.temporary() as started:
            return asyncio.run(_measure(started, names, given))
    return asyncio.run(_measure(running, names, given))


def _on_infrastructure(*, events: int) -> Report:
    """Measure on a broker and a durable database of its own, without services beside them."""
    durable = {"POSTGRES_FSYNC": "true"}
    with testing.temporary("--infra-only", "--without", "zipkin", env=durable) as stack:
        return messaging.measure(stack, events=events)


async def _measure(
    stack: testing.Stack, names: list[str], given: argparse.Namespace
) -> list[Report]:
    reports: list[Report] = []
    if "gateway" in names:
        requests, concurrency = given.requests, given.concurrency
        reports.append(
            _show(await gateway.measure(stack, requests=requests, concurrency=concurrency))
        )
    if "path" in names:
        reports.append(_show(await path.measure(stack, uploads=given.uploads)))
    return reports


def _show(report: Report) -> Report:
    print(report.table(), end="\n\n", flush=True)
    return report


if __name__ == "__main__":
    main()
