"""Public-domain tunes and chorales of music21's corpus, with key and meter as their source states.

music21 is an optional extra (`tunes`); its corpus comes with it.  Read are Bach's chorales and the
tune books of O'Neill, Ryan and Aird; of these only the half that the development split owns.  A tune
book's key and meter are its K: and M: fields.  A chorale's mode is told by the last bass note: the
tonic of the major or of the minor key of its signature; other chorales are left out.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from tonearm_eval.generator.piece import BAR_QUARTERS, Meter, Mode

BOOKS: Final = ("airdsAirs", "oneills1850", "ryansMammoth")
METERS: Final[dict[str, Meter]] = {
    "C": "4/4", "C|": "4/4", "4/4": "4/4", "3/4": "3/4", "6/8": "6/8",
}  # fmt: skip
LETTERS: Final = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
NOTES_MIN: Final = 24
BARS_MIN: Final = 8
GRID_ERROR_MAX: Final = 1e-3  # quarters

KEY_FIELD: Final = re.compile(r"([A-G])([b#]?)\s*(m|min|minor|maj|major)?", re.IGNORECASE)


class Sounding(NamedTuple):
    """start, length: quarters from the first downbeat (a pickup is before 0).  pitch: MIDI."""

    start: float
    length: float
    pitch: int


@dataclass(frozen=True)
class Source:
    """A piece as it is listed, unread.  text: its ABC, or the path of a chorale's file."""

    name: str
    kind: str
    title: str
    text: str


@dataclass(frozen=True)
class Tune:
    """A piece that was read.  voices: highest first, one for a tune and four for a chorale.

    pickup: quarters before the first downbeat.  loop: quarters after which it may begin again, whole
    bars.
    """

    name: str
    kind: str
    meter: Meter
    tonic: int
    mode: Mode
    voices: tuple[tuple[Sounding, ...], ...]
    pickup: float
    loop: float

    @property
    def onsets_per_quarter(self) -> float:
        """Notes of the highest voice to a quarter, rests counted as they stand."""
        return len(self.voices[0]) / (self.loop or 1.0)


class NoCorpus(Exception):
    """music21 and its corpus are missing: uv pip install --require-hashes -r requirements/tunes.lock"""


def library() -> ModuleType:
    """music21, imported when it is needed; raises NoCorpus."""
    try:
        return import_module("music21")
    except ImportError as error:
        raise NoCorpus(NoCorpus.__doc__) from error


def owned(name: str) -> bool:
    """Whether a piece ("book/number") is of the development split's half."""
    return int(hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest(), 16) % 2 == 0


def words(title: str) -> str:
    """A title by its letters, so that two printings of a tune are known as one."""
    plain = re.sub(r"\b(the|a|an|reel|jig|hornpipe|strathspey|waltz)\b", " ", title.lower())
    return re.sub(r"[^a-z]", "", plain)


def stated(text: str) -> tuple[Meter, int, Mode] | None:
    """Meter, tonic and mode of a tune in ABC; None if one is missing, changes or has no truth here.

    Church modes but major and minor are left out, as are 2/4, 3/8, 9/8 and 12/8: truth knows three
    meters.
    """
    meters = re.findall(r"(?m)(?:^|\[)M:\s*([^\s\]%]+)", text)
    keys = re.findall(r"(?m)(?:^|\[)K:\s*([^\]%\n]+)", text)
    if len(meters) != 1 or len(keys) != 1 or meters[0] not in METERS:
        return None
    key = KEY_FIELD.fullmatch(keys[0].strip())
    if key is None:
        return None
    letter, sign, mode = key.groups()
    tonic = (LETTERS[letter.upper()] + {"#": 1, "b": -1}.get(sign, 0)) % 12
    minor = mode is not None and not mode.lower().startswith("maj") and mode != "M"
    return METERS[meters[0]], tonic, "minor" if minor else "major"


def book_sources(book: str, file_name: str, text: str) -> Iterator[Source]:
    """The tunes of one ABC file."""
    for part in re.split(r"(?m)^(?=X:)", text):
        number = re.match(r"X:\s*(\d+)", part)
        title = re.search(r"(?m)^T:\s*(.+)$", part)
        if number and title:
            yield Source(f"{book}/{file_name}#{number[1]}", "tune", words(title[1]), part)


def corpus_sources() -> list[Source]:
    """Every tune and chorale of the corpus, both halves, by name; raises NoCorpus."""
    music21 = library()
    found: list[Source] = []
    for path in map(Path, map(str, music21.corpus.getCorePaths())):
        if path.parent.name == "bach" and re.fullmatch(r"bwv[\d.a-z]+\.mxl", path.name):
            found.append(Source(f"bach/{path.name}", "chorale", "", str(path)))
        elif path.parent.name in BOOKS and path.suffix == ".abc":
            text = path.read_text(encoding="utf-8", errors="ignore")
            found += book_sources(path.parent.name, path.name, text)
    return sorted(found, key=lambda source: source.name)


def development(sources: Iterable[Source]) -> list[Source]:
    """The pieces that development may play: of its half, and printed nowhere in the other."""
    everything = list(sources)
    elsewhere = {source.title for source in everything if source.title and not owned(source.name)}
    times = Counter(source.name for source in everything)
    return [
        source
        for source in everything
        if owned(source.name) and source.title not in elsewhere and times[source.name] == 1
    ]


def read(source: Source) -> Tune | None:
    """The piece note by note; None where its bars, its key or its parts are not plain."""
    music21 = library()
    if source.kind == "chorale":
        return _chorale(music21, source)
    facts = stated(source.text)
    if facts is None:
        return None
    try:
        score = music21.converter.parse(source.text, format="abc")
    except (music21.exceptions21.Music21Exception, ValueError, IndexError):
        return None  # an ABC that music21 does not read
    if len(score.parts) != 1:
        return None
    meter, tonic, mode = facts
    tune = _tune(source, meter, tonic, mode, list(score.parts))
    ends_home = tune is not None and tune.voices[0][-1].pitch % 12 == tonic
    return tune if tune and ends_home and len(tune.voices[0]) >= NOTES_MIN else None


def _chorale(music21: Any, source: Source) -> Tune | None:
    score = music21.converter.parse(source.text)
    parts = list(score.parts)
    stream = score.recurse()
    meters = {m.ratioString for m in stream.getElementsByClass(music21.meter.TimeSignature)}
    signatures = {k.sharps for k in stream.getElementsByClass(music21.key.KeySignature)}
    if len(parts) != 4 or len(meters) != 1 or len(signatures) != 1 or not meters <= set(METERS):
        return None
    bass = soundings(parts[-1], lowest=True)
    major = signatures.pop() * 7 % 12
    last = bass[-1].pitch % 12 if bass else -1
    if last not in (major, (major + 9) % 12):
        return None
    mode: Mode = "major" if last == major else "minor"
    return _tune(source, METERS[meters.pop()], last, mode, parts)


def soundings(part: Any, *, lowest: bool = False) -> list[Sounding]:
    """The notes of a music21 part, ties joined, one at a time; grace notes and chord names left out."""
    found = []
    for element in part.flatten().stripTies().notes:
        if element.duration.quarterLength <= 0 or "ChordSymbol" in element.classes:
            continue
        pitches = [int(pitch.midi) for pitch in element.pitches]
        pitch = min(pitches) if lowest else max(pitches)
        found.append(Sounding(float(element.offset), float(element.duration.quarterLength), pitch))
    return found


def first_downbeat(bars: list[tuple[float, float]], bar_quarters: float) -> float | None:
    """Where the first whole bar begins, given (start, length) of the written ones; None if irregular.

    Whole bars must lie a whole number of bars apart: a short bar is then always made up by its
    neighbour, as where a strain ends and the next begins with a pickup.
    """
    whole = [start for start, length in bars if abs(length - bar_quarters) < GRID_ERROR_MAX]
    if len(whole) < BARS_MIN or any(n > bar_quarters + GRID_ERROR_MAX for _, n in bars):
        return None
    first = whole[0] % bar_quarters
    off = [(start - first + bar_quarters / 2) % bar_quarters - bar_quarters / 2 for start in whole]
    return first if max(map(abs, off)) < GRID_ERROR_MAX else None


def _tune(source: Source, meter: Meter, tonic: int, mode: Mode, parts: list[Any]) -> Tune | None:
    bar = BAR_QUARTERS[meter]
    bars = [
        (float(m.offset), float(m.duration.quarterLength))
        for m in parts[0].getElementsByClass("Measure")
    ]
    first = first_downbeat(bars, bar)
    if first is None:
        return None
    heard = [soundings(part, lowest=k == 3) for k, part in enumerate(parts)]
    if not all(heard):
        return None
    voices = tuple(tuple(s._replace(start=s.start - first) for s in voice) for voice in heard)
    start = min(voice[0].start for voice in voices)
    end = max(s.start + s.length for voice in voices for s in voice)
    pickup = max(0.0, -start)
    # The pickup of the next time round needs room at the end of the last bar.
    loop = -(-(end + pickup - GRID_ERROR_MAX) // bar) * bar
    return Tune(source.name, source.kind, meter, tonic, mode, voices, pickup, loop)
