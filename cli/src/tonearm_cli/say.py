"""How numbers and names read at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

_BARS = "▁▂▃▄▅▆▇█"
_NOTHING = "–"
_ENCODINGS = {"mpeg_layer_iii": "MP3", "vorbis": "Vorbis", "opus": "Opus"}


def duration(seconds: float | None) -> str:
    """Return `3:25`, `1:02:03`; tenths under ten seconds."""
    if seconds is None:
        return _NOTHING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def took(seconds: float) -> str:
    """Return how long something took: `12 ms`, `1.4 s`."""
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"


def size(size_bytes: float) -> str:
    """Return `3.2 MB`, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("unreachable")


def number(value: float | None, digits: int = 1, unit: str = "") -> str:
    """Return the number with a true minus sign, or a dash for None."""
    if value is None:
        return _NOTHING
    text = f"{value:.{digits}f}".replace("-", "−")
    return f"{text} {unit}" if unit else text


def hertz(value: float | None) -> str:
    """Return `440 Hz`, `44.1 kHz`."""
    if value is None:
        return _NOTHING
    return f"{value:.0f} Hz" if value < 1000 else f"{value / 1000:.3g} kHz"


def percent(share: float) -> str:
    """Return a share as `12 %`."""
    return f"{share * 100:.0f} %"


def channels(count: int | None) -> str:
    """Return `mono`, `stereo`, `6 channels`."""
    return {None: _NOTHING, 1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def dots(confidence: float | None) -> str:
    """Return a confidence as five dots."""
    if confidence is None:
        return ""
    full = min(5, max(0, round(confidence * 5)))
    return "●" * full + "○" * (5 - full)


def moment(text: str | None) -> str:
    """Return an RFC 3339 time in local time, to the minute."""
    if not text:
        return _NOTHING
    return datetime.fromisoformat(text).astimezone().strftime("%Y-%m-%d %H:%M")


def tuning(cents: float) -> str:
    """Return how far the tuning is from the standard: `A = 440 Hz, 12 cents flat`."""
    off = round(abs(cents))
    if off == 0:
        return "A = 440 Hz"
    unit = "cent" if off == 1 else "cents"
    return f"A = 440 Hz, {off} {unit} {'sharp' if cents > 0 else 'flat'}"


def count(number_: int, noun: str) -> str:
    """Return `1 chord`, `2 chords`."""
    return f"{number_} {noun}" if number_ == 1 else f"{number_} {noun}s"


def encoding(properties: Mapping[str, Any]) -> str:
    """Return what people call the encoding: `FLAC`, `MP3`, `WAV`, `Vorbis`."""
    codec, container = (str(properties.get(name) or "") for name in ("codec", "format"))
    if not codec or codec.startswith(("pcm_", "float", "double")):  # then the container says more
        return container.upper()
    return _ENCODINGS.get(codec, codec.upper())


def no_loudness(loudness: Mapping[str, Any]) -> str:
    """Return why there is no integrated loudness: the shortest block is 0.4 s (BS.1770)."""
    blocks = (loudness.get("momentary") or {}).get("values")
    return "too short to measure" if blocks == [] else "silence"


def sparkline(waveform: Mapping[str, Any] | None, *, width: int) -> str:
    """Return the outline of a stored waveform as `width` block characters."""
    told: Sequence[Mapping[str, Any]] = (waveform or {}).get("levels") or []
    # A pushed stage leaves long lists out; the stored result has them.
    levels = [level for level in told if level.get("maxima") and level.get("minima")]
    fine = next((level for level in levels if len(level["maxima"]) >= width), None)
    level = fine or (levels[-1] if levels else None)
    if not level:
        return ""
    peaks = [max(up, -down) for up, down in zip(level["maxima"], level["minima"], strict=False)]
    width = min(width, len(peaks))
    groups = [
        max(peaks[i * len(peaks) // width : (i + 1) * len(peaks) // width]) for i in range(width)
    ]
    top = max(*groups, 1) if len(groups) > 1 else max(groups[0], 1)
    return "".join(_BARS[min(7, round(7 * peak / top))] for peak in groups)


def headline(stage: str, found: Mapping[str, Any]) -> str:
    """Return what one stage found, in a few words."""
    speak = _HEADLINES.get(stage)
    return speak(found) if speak and found else ""


def summary(found: Mapping[str, Any]) -> str:
    """Return the few numbers of an `AnalysisSummary`."""
    tempo, loudness = found.get("tempo_bpm"), found.get("loudness_lufs")
    return _join(
        number(tempo, 1, "BPM") if tempo is not None else "",
        str(found.get("key") or ""),
        number(loudness, 1, "LUFS") if loudness is not None else "",
    )


def _join(*parts: str) -> str:
    return " · ".join(part for part in parts if part and part != _NOTHING)


def _properties(found: Mapping[str, Any]) -> str:
    return _join(
        encoding(found),
        hertz(found.get("sample_rate_hz")),
        channels(found.get("channels")),
        duration(found.get("duration_s")),
        "truncated" if found.get("truncated") else "",
    )


def _loudness(found: Mapping[str, Any]) -> str:
    integrated = found.get("integrated_lufs")
    if integrated is None:
        return no_loudness(found)
    return _join(
        number(integrated, 1, "LUFS"),
        f"range {number(found.get('range_lu'), 1, 'LU')}",
        f"peak {number(found.get('true_peak_dbtp'), 1, 'dBTP')}",
    )


def _spectral(found: Mapping[str, Any]) -> str:
    centroid = (found.get("centroid_hz") or {}).get("mean")
    return _join(
        f"centroid {hertz(centroid)}" if centroid else "",
        f"energy {number(found.get('energy'), 2)}",
    )


def _rhythm(found: Mapping[str, Any]) -> str:
    if found.get("tempo_bpm") is None:
        return "no steady beat"
    beats = len(found.get("beats_s") or ())
    return _join(
        number(found["tempo_bpm"], 1, "BPM"),
        str(found.get("meter") or ""),
        count(beats, "beat") if beats else "",
    )


def _harmony(found: Mapping[str, Any]) -> str:
    if not found.get("key"):
        return "no key"
    chords = len(found.get("chords") or ())
    return _join(
        str(found["key"]), str(found.get("camelot") or ""), count(chords, "chord") if chords else ""
    )


_HEADLINES = {
    "properties": _properties,
    "waveform": lambda found: sparkline(found, width=40) or "outline for display",
    "loudness": _loudness,
    "spectral": _spectral,
    "rhythm": _rhythm,
    "harmony": _harmony,
}
