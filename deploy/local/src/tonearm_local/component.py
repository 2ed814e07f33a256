"""What the supervisor knows of a part of the stack."""

import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Identity:
    """Who a child runs as. uid and gid -1 keep the supervisor's."""

    uid: int = -1
    gid: int = -1
    namespace: bool = False


@dataclass(frozen=True)
class Command:
    """One program with its environment (whole, not only additions) and working folder."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    identity: Identity = Identity()
    death_signal: signal.Signals = signal.SIGTERM


Run = Callable[[Command], Awaitable[None]]
"""Run a command to its end, its output into the component's log; raises StepFailed."""

Step = Callable[[Run], Awaitable[None]]


class StepFailed(Exception):
    """A preparation ended badly; the message is one sentence for the operator."""


async def nothing(_run: Run) -> None:
    """A step with nothing to do."""


@dataclass(frozen=True)
class Component:
    """A supervised program.

    prepare: before each start, once all of *after* are ready (initdb, migrations).
    ready: true as soon as the program serves.  finish: once ready, each time (roles, topics).
    stop_signal: asks it to finish; after *stop_s* seconds it is killed.
    """

    name: str
    command: Callable[[], Command]
    ready: Callable[[], Awaitable[bool]]
    prepare: Step = nothing
    finish: Step = nothing
    after: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    url: str = ""
    stop_signal: signal.Signals = signal.SIGTERM
    stop_s: float = 15.0
    start_s: float = 120.0
