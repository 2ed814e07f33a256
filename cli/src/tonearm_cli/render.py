"""Results for people: a card per recording, a table per library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tonearm_cli import say

_WAVE_COLUMNS = 60
_CHORDS_SHOWN = 12
_WIDE_COLUMNS = 100
_STATUS = {
    "uploaded": ("○", "cyan"),
    "processing": ("◐", "yellow"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
}

_NUMBERS: tuple[tuple[str, JustifyMethod, int], ...] = (
    ("Length", "right", 6),
    ("Tempo", "right", 5),
    ("Key", "left", 8),
)

Row = tuple[str, RenderableType]


def result_card(result: Mapping[str, Any], *, name: str, took_s: float | None) -> RenderableType:
    """Return the card of one analysis result (the JSON of `AnalysisResult`)."""
    body: list[RenderableType] = []
    wave = say.sparkline(result.get("waveform"), width=_WAVE_COLUMNS)
    if wave:
        body.append(Padding(Text(wave, style="cyan", no_wrap=True), (1, 0, 0, 0)))
    grid = Table.grid(padding=(0, 2), expand=False)
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    for label, shown in _rows(result):
        grid.add_row(label, shown)
    body.append(Padding(grid, (1, 0)))
    footer = f"engine {result.get('engine_version', '?')}"
    if took_s is not None:
        footer += f" · {say.took(took_s)}"
    return Panel(
        Group(*body),
        title=Text(name, style="bold"),
        title_align="left",
        subtitle=Text(footer, style="dim"),
        subtitle_align="right",
        border_style="dim",
        box=box.ROUNDED,
        padding=(0, 2),
        expand=False,
    )


def _rows(result: Mapping[str, Any]) -> Iterator[Row]:
    yield from _rhythm_rows(result.get("rhythm") or {})
    yield from _harmony_rows(result.get("harmony") or {})
    yield from _loudness_rows(result.get("loudness") or {})
    yield from _spectral_rows(result.get("spectral") or {})
    yield from _file_rows(result.get("properties") or {})
    for stage, reason in (result.get("errors") or {}).items():
        yield stage, Text(str(reason), style="red")


def _rhythm_rows(rhythm: Mapping[str, Any]) -> Iterator[Row]:
    if not rhythm:
        return
    if rhythm.get("tempo_bpm") is None:
        yield "Tempo", Text("no steady beat", style="dim")
        return
    others = [
        f"{say.number(other['bpm'], 1)} ({say.percent(other['probability'])})"
        for other in (rhythm.get("candidates") or [])[1:3]
        if other.get("probability", 0) >= 0.01
    ]
    yield (
        "Tempo",
        _value(
            say.number(rhythm["tempo_bpm"], 1, "BPM"),
            rhythm.get("confidence"),
            "or " + ", ".join(others) if others else "",
        ),
    )
    beats = len(rhythm.get("beats_s") or ())
    if rhythm.get("meter"):
        yield (
            "Meter",
            _value(
                rhythm["meter"],
                rhythm.get("meter_confidence"),
                say.count(beats, "beat") if beats else "",
            ),
        )


def _harmony_rows(harmony: Mapping[str, Any]) -> Iterator[Row]:
    if not harmony:
        return
    if not harmony.get("key"):
        yield "Key", Text("none", style="dim")
        return
    wheel = " · ".join(
        part
        for part in (
            f"Camelot {harmony['camelot']}" if harmony.get("camelot") else "",
            f"Open Key {harmony['open_key']}" if harmony.get("open_key") else "",
        )
        if part
    )
    yield "Key", _value(harmony["key"], harmony.get("confidence"), wheel)
    chords = _chords(harmony.get("chords") or [])
    if chords:
        yield "Chords", Text(chords)
    if harmony.get("tuning_cents") is not None:
        yield "Tuning", Text(say.tuning(harmony["tuning_cents"]))


def _chords(chords: Sequence[Mapping[str, Any]]) -> str:
    labels: list[str] = []
    for chord in chords:
        label = str(chord.get("label", "")).replace(":maj", "").replace(":min", "m")
        if label and label != "N" and (not labels or labels[-1] != label):
            labels.append(label)
    more = " …" if len(labels) > _CHORDS_SHOWN else ""
    return " – ".join(labels[:_CHORDS_SHOWN]) + more


def _loudness_rows(loudness: Mapping[str, Any]) -> Iterator[Row]:
    if not loudness:
        return
    if loudness.get("integrated_lufs") is None:
        yield "Loudness", Text(say.no_loudness(loudness), style="dim")
        return
    yield (
        "Loudness",
        _value(
            say.number(loudness["integrated_lufs"], 1, "LUFS"),
            None,
            f"range {say.number(loudness.get('range_lu'), 1, 'LU')} · "
            f"true peak {say.number(loudness.get('true_peak_dbtp'), 1, 'dBTP')}",
        ),
    )
    if loudness.get("clipped_samples"):
        yield "Clipping", Text(f"{loudness['clipped_samples']} samples", style="red")


def _spectral_rows(spectral: Mapping[str, Any]) -> Iterator[Row]:
    if not spectral:
        return
    if spectral.get("energy") is not None:
        yield "Energy", Text(say.number(spectral["energy"], 2))
    mean = {
        name: (spectral.get(key) or {}).get("mean")
        for name, key in (
            ("centroid", "centroid_hz"),
            ("rolloff", "rolloff_hz"),
        )
    }
    words = [f"{name} {say.hertz(value)}" for name, value in mean.items() if value is not None]
    zero_crossings = (spectral.get("zero_crossing_rate") or {}).get("mean")
    if zero_crossings is not None:
        words.append(f"zero crossings {say.number(zero_crossings, 3)}")
    if words:
        yield "Spectrum", Text(" · ".join(words))


def _file_rows(properties: Mapping[str, Any]) -> Iterator[Row]:
    if not properties:
        return
    words = [
        say.duration(properties.get("duration_s")),
        say.encoding(properties),
        say.hertz(properties.get("sample_rate_hz")),
        say.channels(properties.get("channels")),
    ]
    if properties.get("bit_depth"):
        words.append(f"{properties['bit_depth']} bit")
    if properties.get("bitrate_bps"):
        words.append(f"{properties['bitrate_bps'] / 1000:.0f} kbit/s")
    yield "File", Text(" · ".join(word for word in words if word), style="dim")
    for warning in properties.get("warnings") or ():
        yield "", Text(str(warning), style="yellow")


def _value(text: str, confidence: float | None, aside: str) -> Text:
    shown = Text(f"{text:<12}", style="bold green")
    if confidence is not None:
        shown.append(f"  {say.dots(confidence)} ", style="green")
        shown.append(f"{confidence:.2f}", style="default")
    if aside:
        shown.append(f"  {aside}", style="dim")
    return shown


def library_table(items: Sequence[Mapping[str, Any]], *, columns: int) -> RenderableType:
    """Return the table of a page of recordings; `columns` is how wide the terminal is."""
    if not items:
        return Text("No recordings yet. `tonearm upload FILE` adds one.", style="dim")
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("ID", style="dim", no_wrap=True, min_width=36)
    table.add_column("Name", overflow="ellipsis", no_wrap=True, max_width=40)
    table.add_column("Status" if columns >= _WIDE_COLUMNS else "", no_wrap=True)
    for name, justify, width in _NUMBERS:
        table.add_column(name, justify=justify, no_wrap=True, min_width=width)
    for item in items:
        summary = item.get("summary") or {}
        table.add_row(
            item["id"],
            item["filename"],
            status_text(item["status"], is_short=columns < _WIDE_COLUMNS),
            say.duration(summary.get("duration_s") or item.get("duration_s")),
            say.number(summary.get("tempo_bpm"), 1),
            summary.get("key") or "–",
        )
    return table


def status_text(status: str, *, is_short: bool = False) -> Text:
    """Return a status in its colour; only its mark where there is no room for the word."""
    mark, style = _STATUS.get(status, ("?", ""))
    return Text(mark if is_short else f"{mark} {status}", style=style)


def audio_card(audio: Mapping[str, Any]) -> RenderableType:
    """Return the card of a recording that has no result (yet)."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    grid.add_row("Status", status_text(audio["status"]))
    failure = audio.get("failure")
    if failure:
        grid.add_row("Reason", Text(f"{failure['reason']} ({failure['code']})", style="red"))
    grid.add_row("ID", audio["id"])
    grid.add_row("File", say.headline("properties", audio))
    grid.add_row("Size", say.size(audio["size_bytes"]))
    grid.add_row("SHA-256", Text(audio["sha256"], style="dim"))
    for key, value in (audio.get("tags") or {}).items():
        grid.add_row(key.replace("_", " ").capitalize(), value)
    grid.add_row("Uploaded", say.moment(audio.get("uploaded_at")))
    return Panel(
        Padding(grid, (1, 0)),
        title=Text(audio["filename"], style="bold"),
        title_align="left",
        border_style="dim",
        box=box.ROUNDED,
        padding=(0, 2),
        expand=False,
    )


def account_card(
    account: Mapping[str, Any], usage: Mapping[str, Any], *, server: str
) -> RenderableType:
    """Return the card of an account and what is used of its plan."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    grid.add_row("Account", account["id"])
    if account.get("full_name"):
        grid.add_row("Name", account["full_name"])
    grid.add_row("Plan", account["plan"] + (" · beta" if account.get("is_beta") else ""))
    for limit in usage.get("limits", []):
        shown = _limit(str(limit["name"]), float(limit["used"]), float(limit["limit"]))
        if shown is not None:
            grid.add_row(*shown)
    grid.add_row("Server", Text(server, style="dim"))
    return Panel(
        Padding(grid, (1, 0)),
        title=Text(account["email"], style="bold"),
        title_align="left",
        border_style="dim",
        box=box.ROUNDED,
        padding=(0, 2),
        expand=False,
    )


def _limit(name: str, used: float, limit: float) -> Row | None:
    if name == "uploads_per_day":
        return "Uploads", Text(f"{used:.0f} of {limit:.0f} today")
    if name == "stored_bytes":
        return "Stored", Text(f"{say.size(used)} of {say.size(limit)}")
    if name == "analysed_audio_s_per_month":
        return "Analysed", Text(f"{say.duration(used)} of {say.duration(limit)} this month")
    if name == "file_bytes":
        return "Largest file", Text(say.size(limit))
    return None
