"""Follow one recording to its end. The push tells at once; the state is asked for in any case."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from tonearm_cli import say
from tonearm_cli.api import Api
from tonearm_cli.board import Board
from tonearm_cli.errors import CliError
from tonearm_cli.feed import Event, Feed

POLL_S = 5.0
POLL_S_WITHOUT_PUSH = 1.0
GRACE_S = 2.0
"""Longest wait for the push of an end that the state shows already."""
SETTLE_S_MAX = 3.0
_FINAL = {"completed", "failed"}
_TYPE = "tonearm.analysis."


async def follow(
    api: Api,
    feed: Feed,
    audio_id: str,
    *,
    board: Board,
    timeout_s: float,
    status_before: str | None = None,
) -> dict[str, Any]:
    """Return how the analysis ended: `{"audio", "analysis", "delivered_by"}`.

    The feed was opened before, so an end that comes after we look at the state is pushed, and
    one that came before is in the state: it cannot be missed. `delivered_by` is `push` or
    `state`. status_before: of the recording when the feed was open already, if known. Raises `CliError` where nothing ends within `timeout_s` seconds.
    """
    try:
        async with asyncio.timeout(timeout_s):
            delivered_by, status = await _until_final(
                api, feed, audio_id, board=board, status_before=status_before
            )
            audio = await _settled(api, audio_id)
    except TimeoutError:
        raise CliError(
            f"The analysis did not end within {timeout_s:.0f} s.",
            hint=f"`tonearm watch {audio_id}` goes on watching.",
            code="watch_timed_out",
        ) from None
    analysis = None
    if status == "completed":
        analysis = await api.call("GET", audio["links"]["analysis"])
    return {"audio": audio, "analysis": analysis, "delivered_by": delivered_by}


async def _until_final(
    api: Api, feed: Feed, audio_id: str, *, board: Board, status_before: str | None
) -> tuple[str, str]:
    board.busy("waiting for the analysis to start")
    wait_s = POLL_S if feed.is_live else POLL_S_WITHOUT_PUSH
    # What was pushed meanwhile comes first: it has the stages, the state has only the end.
    is_first, was_open = True, status_before is not None and status_before not in _FINAL
    while True:
        event = await feed.next(audio_id, timeout_s=0.05 if is_first else wait_s)
        if event is not None:
            kind = _show(event, board)
            if kind in _FINAL:
                return "push", kind
            continue
        is_first = False
        audio = await api.call("GET", f"/v1/audio/{audio_id}")
        if audio["status"] not in _FINAL:
            was_open = True
        elif was_open and feed.is_live:
            was_open, wait_s = False, GRACE_S  # the push is on its way, and it has the stages
        else:
            return "state", audio["status"]


def _show(event: Event, board: Board) -> str:
    """Put an event on the board; returns what kind of news of the analysis it is."""
    kind = str(event.get("type", "")).removeprefix(_TYPE).removesuffix(".v1")
    told: Mapping[str, Any] = event.get("data", {})
    if kind == "started":
        board.busy("analysing")
    elif kind == "progressed":
        _show_stage(told, board)
    elif kind == "failed":
        board.failed("analysis", str(told.get("reason", "")))
    elif kind == "completed":
        found = say.summary(told.get("summary") or {})
        known = " · known already" if told.get("cached") else ""
        board.done("analysis", found + known, took_s=told.get("engine_duration_s"))
        board.busy("fetching the result")
    return kind


def _show_stage(told: Mapping[str, Any], board: Board) -> None:
    stage = str(told.get("stage", ""))
    if told.get("error"):
        board.failed(stage, str(told["error"]))
    else:
        found = say.headline(stage, told.get("result") or {})
        board.done(stage, found, took_s=told.get("stage_duration_s"))
    done, total = told.get("stages_done", 0), told.get("stages_total", 0)
    board.busy(f"analysing, {done} of {total} stages done" if done < total else "storing")


async def _settled(api: Api, audio_id: str) -> dict[str, Any]:
    """Return the recording once its own status has followed the news that we have."""
    give_up_at = asyncio.get_running_loop().time() + SETTLE_S_MAX
    while True:
        audio = await api.call("GET", f"/v1/audio/{audio_id}")
        late = asyncio.get_running_loop().time() > give_up_at
        if audio["status"] in _FINAL or late:
            return audio
        await asyncio.sleep(0.1)
