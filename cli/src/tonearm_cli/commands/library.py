"""`upload`, `watch`, `list`, `show`, `delete`, `download`."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tonearm_cli.options import (
    DEFAULT_SERVER,
    ConfigDir,
    Evidence,
    Json,
    Output,
    Remote,
    Server,
    TempoRange,
    Token,
)

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tonearm_cli.api import Api
    from tonearm_cli.errors import CliError
    from tonearm_cli.feed import Feed

AudioId = Annotated[str, typer.Argument(help="Id of the recording.", metavar="ID")]
AudioIds = Annotated[list[str], typer.Argument(help="Ids of recordings.", metavar="ID")]
Files = Annotated[list[Path], typer.Argument(help="Audio files.", metavar="FILE")]
Timeout = Annotated[
    float, typer.Option("--timeout", min=1, help="Longest wait for an analysis, in seconds.")
]
Status = Literal["uploaded", "processing", "completed", "failed"]


def upload(
    files: Files,
    watch: Annotated[bool, typer.Option("--watch", help="Follow the analysis live.")] = False,
    timeout_s: Timeout = 600.0,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Upload files; with --watch, follow the analysis and print the result."""
    from tonearm_cli.errors import CliError

    output = Output(as_json=as_json)
    outcomes: list[bool] = []

    async def work(api: Api) -> None:
        async with AsyncExitStack() as stack:
            feed = None
            if watch:
                from tonearm_cli.feed import open_feed

                # Before the upload: nothing that happens to it can be missed.
                feed = await stack.enter_async_context(open_feed(api))
            for path in files:
                try:
                    outcomes.append(await _upload_one(api, path, output, feed, timeout_s))
                except CliError as error:
                    if not _is_about_the_file(error):
                        raise
                    output.error(error.about(path))
                    outcomes.append(False)

    Remote(server=server, config_dir=config_dir, token=token).run(work)
    _exit_unless(all(outcomes))


async def _upload_one(
    api: Api, path: Path, output: Output, feed: Feed | None, timeout_s: float
) -> bool:
    from tonearm_cli import recordings, say
    from tonearm_cli.board import Board, byte_bar

    size_bytes = recordings.check(path).stat().st_size
    started_s = time.perf_counter()
    with byte_bar(output, path.name, size_bytes=size_bytes) as bar:
        audio = await api.upload(path, sent=bar.advance)
    took_s = time.perf_counter() - started_s
    board = Board(output)
    if feed is None:
        board.done("uploaded", f"{path.name} · {say.size(size_bytes)}", took_s=took_s)
        output.result({"audio": audio}, audio["id"])
        return True
    with board.shown():
        board.done("uploaded", f"{path.name} · {say.size(size_bytes)}", took_s=took_s)
        if not feed.is_live:
            board.warned("push", "not available now; asking for the state instead")
        from tonearm_cli.watch import follow

        ended = await follow(
            api,
            feed,
            audio["id"],
            board=board,
            timeout_s=timeout_s,
            status_before=audio["status"],
        )
    return _show_end(ended, output)


def _is_about_the_file(error: CliError) -> bool:
    """Whether the next file may do better: this one is not there, or not what is taken."""
    from tonearm_cli.errors import ProblemError

    if isinstance(error, ProblemError):
        return error.status in {400, 413, 415, 422}
    return error.code == "unreadable"


def watch(
    audio_id: AudioId,
    timeout_s: Timeout = 600.0,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Follow the analysis of a recording live and print the result."""
    output = Output(as_json=as_json)
    outcomes: list[bool] = []

    async def work(api: Api) -> None:
        from tonearm_cli.board import Board
        from tonearm_cli.feed import open_feed
        from tonearm_cli.watch import follow

        board = Board(output)
        await api.call("GET", f"/v1/audio/{audio_id}")
        async with open_feed(api, audio_id=audio_id) as feed:
            with board.shown():
                ended = await follow(api, feed, audio_id, board=board, timeout_s=timeout_s)
        outcomes.append(_show_end(ended, output))

    Remote(server=server, config_dir=config_dir, token=token).run(work)
    _exit_unless(all(outcomes))


def list_(
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Most to show.")] = 20,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where to go on.")] = None,
    status: Annotated[Status | None, typer.Option("--status", help="Only these.")] = None,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """List your recordings, newest first."""
    output = Output(as_json=as_json)
    wanted = {"limit": limit, "cursor": cursor, "status": status}
    params = {key: value for key, value in wanted.items() if value is not None}

    async def work(api: Api) -> None:
        page = await api.call("GET", "/v1/audio", params=params)
        if as_json:
            output.result(page)
            return
        from tonearm_cli.render import library_table

        if status and not page["items"]:
            output.note(f"No recording is {status}.")
            return
        output.result(page, library_table(page["items"], columns=output.out.width))
        if page["next_cursor"]:
            same = f"--limit {limit}" + (f" --status {status}" if status else "")
            output.note(f"[dim]More: tonearm list {same} --cursor {page['next_cursor']}[/]")

    Remote(server=server, config_dir=config_dir, token=token).run(work)


def show(
    audio_id: AudioId,
    tempo_range: TempoRange = None,
    show_evidence: Evidence = False,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Show a recording and the result of its analysis."""
    output = Output(as_json=as_json)
    preferred = (
        {"tempo_min_bpm": tempo_range.low, "tempo_max_bpm": tempo_range.high} if tempo_range else {}
    )

    async def work(api: Api) -> None:
        audio = await api.call("GET", f"/v1/audio/{audio_id}")
        analysis = None
        if audio["status"] == "completed":
            analysis = await api.call("GET", audio["links"]["analysis"], params=preferred)
        output.result({"audio": audio, "analysis": analysis}, _card(audio, analysis, output))
        if show_evidence and analysis and not as_json:
            from tonearm_cli.evidence import evidence

            output.out.print(evidence(analysis["result"]))

    Remote(server=server, config_dir=config_dir, token=token).run(work)


def delete(
    audio_ids: AudioIds,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Delete recordings with their bytes and results."""
    output = Output(as_json=as_json)

    async def work(api: Api) -> None:
        for audio_id in audio_ids:
            await api.call("DELETE", f"/v1/audio/{audio_id}")
            output.done({"deleted": audio_id}, f"Deleted {audio_id}.")

    Remote(server=server, config_dir=config_dir, token=token).run(work)


def download(
    audio_id: AudioId,
    to: Annotated[
        str | None, typer.Option("--to", "-o", help="File or folder to write to.")
    ] = None,
    server: Server = DEFAULT_SERVER,
    config_dir: ConfigDir = None,
    token: Token = None,
    as_json: Json = False,
) -> None:
    """Download a recording as it was uploaded; a broken download goes on where it stopped."""
    from tonearm_cli.errors import CliError

    output = Output(as_json=as_json)
    target = Path(to) if to else None
    if to and to.endswith("/") and not Path(to).is_dir():
        raise CliError(f"{to}: There is no such folder.", code="no_such_folder")

    async def work(api: Api) -> None:
        from tonearm_cli.fetch import fetch

        audio = await api.call("GET", f"/v1/audio/{audio_id}")
        path = await fetch(api, audio, to=target, output=output)
        output.done({"audio": audio, "file": str(path)}, f"{path} · SHA-256 is right.")

    Remote(server=server, config_dir=config_dir, token=token).run(work)


def _show_end(ended: dict[str, Any], output: Output) -> bool:
    """Print how an analysis ended; returns whether it ended well."""
    output.result(ended, _card(ended["audio"], ended["analysis"], output))
    return ended["analysis"] is not None


def _card(
    audio: dict[str, Any], analysis: dict[str, Any] | None, output: Output
) -> RenderableType | None:
    if output.as_json:
        return None
    from tonearm_cli.render import audio_card, result_card

    if analysis is None or not analysis.get("result"):
        return audio_card(audio)
    return result_card(
        analysis["result"], name=audio["filename"], took_s=analysis.get("engine_duration_s")
    )


def _exit_unless(is_well: bool) -> None:
    if not is_well:
        from tonearm_cli.errors import EXIT_FAILURE

        raise typer.Exit(EXIT_FAILURE)
