"""Idioms of records that composed loops lack, for the development split alone.

Blues with dominant sevenths under a minor pentatonic, riffs and power chords without thirds, modal
vamps, songs that begin away from home, grooves of bass and drums: the key is that of the note on
which all rests, major or minor by its third (where none sounds, by the melody's).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from tonearm_eval.generator.compose import bass_notes, comping_notes, drum_notes, near, pick
from tonearm_eval.generator.loops import OF_THE_TEST_SPLIT, as_loop
from tonearm_eval.generator.material import Material, Progression, Style, chords
from tonearm_eval.generator.piece import BAR_QUARTERS, ChordSpan, Mode, Note, Part, Piece, TempoMap

RIFFS: Final = ("riff", "metal", "groove")
"""Idioms made of riffs, not of chords: they have no chord truth."""
IDIOM_STYLES: Final[dict[str, Style]] = {
    "bluesband": Style(5, "4/4", (58, 150), "shuffle", ("block", "off", "stabs"), ("walk", "root8"),
                       swing=(0.5, 0.68)),
    "riff": Style(4, "4/4", (76, 168), "rock", (), ()),
    "metal": Style(4, "4/4", (86, 190), "punk", (), ()),
    "groove": Style(5, "4/4", (78, 126), "hiphop", (), (), sixteenths=(0.5, 0.6)),
    "modal": Style(5, "4/4", (76, 148), "rock", ("eighths", "pad", "arp", "block"),
                   ("root8", "synco", "long"), chord_bars=(1.0, 2.0)),
    "song": Style(6, "4/4", (66, 142), "pop", ("block", "pad", "eighths", "arp"),
                  ("root8", "rootfifth", "long"), chord_bars=(0.5, 1.0, 1.0, 2.0)),
    "country": Style(3, "4/4", (78, 168), "folk", ("oompah", "arp", "block"), ("rootfifth",)),
    "dub": Style(3, "4/4", (62, 92), "reggae", ("off",), ("synco", "rootfifth"),
                 chord_bars=(1.0, 2.0)),
}  # fmt: skip
MINOR_SHARES: Final = {
    "bluesband": 0.4, "riff": 0.65, "metal": 0.85, "groove": 0.65, "modal": 0.5, "song": 0.4,
    "country": 0.12, "dub": 0.5,
}  # fmt: skip
# Whose drums they borrow.
DRUMMED_AS: Final = {
    "bluesband": ("shuffle", "rock"), "riff": ("rock", "funk"), "metal": ("punk", "rock"),
    "groove": ("hiphop", "house", "funk", "trap"), "modal": ("rock", "pop", "hiphop"),
    "song": ("pop", "rock", "ballad", "house"), "country": ("pop", "punk"), "dub": ("reggae",),
}  # fmt: skip

BLUES: Final[dict[Mode, tuple[str, ...]]] = {
    "major": (
        "0:7 0:7 0:7 0:7 5:7 5:7 0:7 0:7 7:7 5:7 0:7 0:7",
        "0:7 5:7 0:7 0:7 5:7 5:7 0:7 0:7 7:7 5:7 0:7 7:7",
        "0:7 0:7 0:7 0:7 5:7 5:7 0:7 0:7 7:7 7:7 0:7 0:7",
        "0:7 7:7 5:7 5:7 0:7 7:7 0:7 7:7", "0:7 0:7 0:7 5:7", "0:7",
        "0:7 0:7 5:7 5:7 0:7 0:7 7:7 0:7",
    ),
    "minor": (
        "0:min7 0:min7 0:min7 0:min7 5:min7 5:min7 0:min7 0:min7 8:7 7:7 0:min7 7:7",
        "0:min7 5:min7 0:min7 0:min7 5:min7 5:min7 0:min7 0:min7 7:min7 5:min7 0:min7 7:7",
        "0:min7 0:min7 5:min7 0:min7", "0:min7", "0:min7 0:min7 5:7 0:min7",
    ),
}  # fmt: skip
# The tonic's chord, the others of the mode, and the scale of its tunes.
CHURCH: Final[dict[Mode, tuple[tuple[str, tuple[int, ...]], ...]]] = {
    "major": (
        ("10:maj 5:maj 10:maj 7:min", (0, 2, 4, 5, 7, 9, 10)),
        ("2:maj 7:maj 9:min", (0, 2, 4, 6, 7, 9, 11)),
        ("5:maj 9:min 2:min 7:maj", (0, 2, 4, 5, 7, 9, 11)),
    ),
    "minor": (
        ("5:maj 10:maj 3:maj 7:min", (0, 2, 3, 5, 7, 9, 10)),
        ("10:maj 8:maj 5:min 7:min", (0, 2, 3, 5, 7, 8, 10)),
        ("1:maj 10:min 1:maj", (0, 1, 3, 5, 7, 8, 10)),
    ),
}
SONG: Final[dict[Mode, Progression]] = {
    "major": chords("9:min 5:maj 7:maj 2:min 4:min"),
    "minor": chords("8:maj 10:maj 3:maj 5:min 7:min 7:maj"),
}
TONIC: Final[dict[Mode, str]] = {"major": "maj", "minor": "min"}
PENTATONIC: Final[dict[Mode, tuple[int, ...]]] = {
    "major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10),
}  # fmt: skip
BLUE: Final = (0, 3, 5, 6, 7, 10)
SCALES: Final[dict[Mode, tuple[tuple[int, ...], ...]]] = {
    "major": ((0, 2, 4, 5, 7, 9, 11), PENTATONIC["major"], PENTATONIC["major"]),
    "minor": (
        (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 8, 11), (0, 2, 3, 5, 7, 9, 10),
        PENTATONIC["minor"], PENTATONIC["minor"],
    ),
}  # fmt: skip
# How often each degree stands in a riff, beside the tonic.
RIFF_DEGREES: Final[dict[tuple[str, Mode], dict[int, float]]] = {
    ("riff", "minor"): {3: 3, 5: 3, 7: 2, 10: 3, 6: 0.5, 8: 0.5, 2: 0.4},
    ("riff", "major"): {4: 1.5, 5: 3, 7: 2.5, 10: 2, 9: 1.5, 2: 1, 3: 0.5},
    ("metal", "minor"): {3: 2, 1: 1.2, 8: 1.5, 10: 1.5, 6: 1, 7: 1, 5: 1, 2: 0.7},
    ("metal", "major"): {5: 2, 7: 2, 10: 1, 4: 1, 9: 1},
    ("groove", "minor"): {10: 2.5, 7: 2.5, 3: 2, 5: 2},
    ("groove", "major"): {7: 3, 10: 1.5, 9: 2, 5: 2, 4: 1, 2: 0.7},
}
RIFF_TONIC: Final = 0.42
MELODY_RANGE: Final = (55, 79)


class Way(NamedTuple):
    """What a piece rests on: chords (empty for riffs) and the scale of its tune."""

    loop: Progression
    scale: tuple[int, ...]


def _modal(rng: np.random.Generator, mode: Mode) -> Way:
    text, scale = pick(rng, CHURCH[mode])
    others = chords(text)
    first, second = pick(rng, others), pick(rng, others)
    home = (0, TONIC[mode])
    loop = pick(
        rng, ([home, first], [home, home, first, first], [home, first, second, first],
              [home, home, first, second], [home, first, second, home], [home])
    )  # fmt: skip
    return Way(list(loop), scale)


def _song(rng: np.random.Generator, mode: Mode) -> Way:
    """A loop of four that begins away from home, mostly."""
    others = [SONG[mode][k] for k in rng.permutation(len(SONG[mode]))]
    loop = [*others[:3]]
    loop.insert(int(rng.choice([0, 1, 2, 3], p=[0.2, 0.25, 0.3, 0.25])), (0, TONIC[mode]))
    return Way(loop, pick(rng, SCALES[mode]))


def _country(rng: np.random.Generator, mode: Mode) -> Way:
    home, pool = (0, TONIC[mode]), chords("5:maj 7:maj" if mode == "major" else "5:min 7:maj")
    halves = [[home, pick(rng, [home, *pool]), pick(rng, pool), home] for _ in range(2)]
    halves[0][-1] = pick(rng, [home, *pool])
    return Way(halves[0] + halves[1], pick(rng, SCALES[mode]))


def _dub(rng: np.random.Generator, mode: Mode) -> Way:
    pool = chords("5:maj 10:maj 2:min 7:maj" if mode == "major" else "5:min 10:maj 8:maj 7:min")
    home = (0, TONIC[mode])
    return Way(pick(rng, ([home, pick(rng, pool)], [home])), pick(rng, SCALES[mode]))


def way(rng: np.random.Generator, idiom: str, mode: Mode) -> Way:
    """The chords and the scale of one piece; never a loop of the test split."""
    if idiom in RIFFS:
        return Way([], PENTATONIC[mode] if rng.random() < 0.7 else pick(rng, SCALES[mode]))
    while True:
        if idiom == "bluesband":
            blue = BLUE if rng.random() < 0.75 else PENTATONIC[mode]
            found = Way(chords(pick(rng, BLUES[mode])), blue)
        else:
            drawers = {"modal": _modal, "song": _song, "country": _country, "dub": _dub}
            found = drawers[idiom](rng, mode)
        if as_loop(found.loop) not in OF_THE_TEST_SPLIT:
            return found


def spans_of(
    style: Style, loop: Progression, tonic: int, bars: int, length: float
) -> list[ChordSpan]:
    """The loop round and round.  length: bars to a chord."""
    quarters = length * BAR_QUARTERS[style.meter]
    count = math.ceil(bars * BAR_QUARTERS[style.meter] / quarters)
    return [
        ChordSpan(k * quarters, quarters, (tonic + step) % 12, quality)
        for k in range(count)
        for step, quality in (loop[k % len(loop)],)
    ]


def riff(rng: np.random.Generator, idiom: str, mode: Mode) -> list[tuple[float, float, int]]:
    """(start, length, semitones above the tonic) of a riff of one or two bars."""
    quarters = 4.0 * int(rng.integers(1, 3))
    degrees = RIFF_DEGREES[idiom, mode]
    weight = np.array(list(degrees.values()))
    tonic = 0.6 if idiom == "metal" else RIFF_TONIC
    out, at = [], 0.0
    while at < quarters - 1e-6:
        length = float(rng.choice([0.5, 0.5, 1.0, 1.5, 0.25] if idiom == "metal" else
                                  [0.5, 0.5, 1.0, 1.5, 2.0]))  # fmt: skip
        length = min(length, quarters - at)
        home = rng.random() < (0.85 if at == 0 else tonic)
        step = 0 if home else int(rng.choice(list(degrees), p=weight / weight.sum()))
        if at == 0 or rng.random() < 0.85:
            out.append((at, length, step))
        at += length
    return out


def riff_parts(
    rng: np.random.Generator, idiom: str, material: Material, tonic: int, mode: Mode,
    bars: int, *, midi: bool,
) -> list[Part]:  # fmt: skip
    """Bass and, but for some grooves, guitar or keys that play the riff; a second riff now and then."""
    riffs = [riff(rng, idiom, mode) for _ in range(2)]
    total, power = bars * 4.0, rng.random() < (0.9 if idiom == "metal" else 0.55)
    low, bass, guitar = near(tonic, 28), [], []
    at, turn = 0.0, 0
    while at < total - 1e-6:
        figure = riffs[(turn // 4) % 2 if turn % 8 >= 4 else 0]
        quarters = 4.0 * math.ceil(max(start + length for start, length, _ in figure) / 4.0)
        for start, length, step in figure:
            pitch = low + step - (12 if step > 7 else 0)
            bass.append(Note(at + start, 0.9 * length, pitch, int(rng.integers(88, 108))))
            tones = (12, 19, 24) if power else (24,)
            guitar += [Note(at + start, 0.92 * length, pitch + k, 92) for k in tones]
        at += quarters
        turn += 1
    names = _names(material, midi=midi)
    parts = [Part("bass", pick(rng, names.bass), bass)]
    if idiom != "groove" or rng.random() < 0.4:
        parts.append(Part("chords", pick(rng, names.guitar), guitar, -0.2))
    if idiom == "groove":
        parts.append(Part("pad", pick(rng, names.chords), _stabs(rng, tonic, mode, bars), 0.2))
    return parts


def _stabs(rng: np.random.Generator, tonic: int, mode: Mode, bars: int) -> list[Note]:
    """A chord of the tonic now and then, mostly without its third."""
    third = 4 if mode == "major" else 3
    tones = pick(
        rng, ((0, 7), (0, 5, 7), (0, 7, 10), (0, third, 7, 10), (7, 10, 14), (0, third, 7))
    )
    at, length = float(rng.choice([0.0, 0.5, 1.5, 2.5])), float(rng.choice([0.3, 1.0, 3.0]))
    base = near(tonic, 52)
    return [
        Note(4.0 * bar + at, length, base + tone, 80)
        for bar in range(bars)
        if rng.random() < 0.8
        for tone in tones
    ]


class Names(NamedTuple):
    """Instruments of the split, or their programs."""

    lead: tuple[str, ...]
    chords: tuple[str, ...]
    bass: tuple[str, ...]
    guitar: tuple[str, ...]
    kits: tuple[str, ...]


def _names(material: Material, *, midi: bool) -> Names:
    sounds = material.sounds
    if not midi:
        return Names(sounds.lead, sounds.chords, sounds.bass, ("steel", "saw"), (sounds.kit,))
    programs = (sounds.midi_lead, sounds.midi_chords, sounds.midi_bass, (25, 26), sounds.midi_kits)
    return Names(*(tuple(map(str, numbers)) for numbers in programs))


def melody(
    rng: np.random.Generator, material: Material, tonic: int, scale: tuple[int, ...], bars: int
) -> list[Note]:
    """Phrases of two bars that wander over the scale by step and come to rest, mostly at home."""
    cells = [pick(rng, material.rhythms["4/4"]) for _ in range(4)]
    allowed = [p for p in range(*MELODY_RANGE) if (p - tonic) % 12 in scale]
    rests = [k for k, p in enumerate(allowed) if (p - tonic) % 12 in (0, 0, 7)]
    homes = [k for k, p in enumerate(allowed) if (p - tonic) % 12 == 0]
    at_index, notes = int(rng.choice(rests)), []
    for bar in range(bars):
        if rng.random() < 0.12:
            continue
        at, cell = 4.0 * bar, cells[bar % 4]
        for k, length in enumerate(cell):
            move = int(rng.choice([-2, -1, -1, 0, 1, 1, 2]))
            at_index = int(np.clip(at_index + move, 0, len(allowed) - 1))
            if bar % 2 == 1 and k == len(cell) - 1:
                goals = homes if rng.random() < 0.65 else rests
                at_index = min(goals, key=lambda goal: abs(goal - at_index))
            if rng.random() > 0.1:
                notes.append(Note(at, 0.95 * length, allowed[at_index], int(rng.integers(84, 112))))
            at += length
    return notes


def compose_idiom(
    rng: np.random.Generator, idiom: str, material: Material, *, tonic: int, mode: Mode,
    tempo_bpm: tuple[float, float], duration_s: float, midi: bool,
) -> Piece:  # fmt: skip
    """One piece; the traits say which parts are sung and which are driven."""
    style, names = IDIOM_STYLES[idiom], _names(material, midi=midi)
    bars = math.ceil(duration_s * max(tempo_bpm) / 240) + 1
    found = way(rng, idiom, mode)
    spans: list[ChordSpan] = []
    if found.loop:
        spans = spans_of(style, found.loop, tonic, bars, pick(rng, style.chord_bars))
        if idiom == "modal" and rng.random() < 0.25:
            spans = [without_third(rng, span) for span in spans]
        bass = bass_notes(rng, style, spans, pick(rng, style.bass))
        if idiom == "modal" and rng.random() < 0.3:
            bass = [note._replace(pitch=near(tonic, 33)) for note in bass]
        comping = comping_notes(rng, style, spans, pick(rng, style.comping))
        guitar = rng.random() < 0.5
        parts = [
            Part("chords", pick(rng, names.guitar if guitar else names.chords), comping, -0.3),
            Part("bass", pick(rng, names.bass), bass),
        ]
    else:
        parts = riff_parts(rng, idiom, material, tonic, mode, bars, midi=midi)
    if rng.random() < 0.85:
        tune = melody(rng, material, tonic, found.scale, bars)
        parts.append(Part("lead", pick(rng, names.lead), tune, 0.2, float(rng.uniform(0.6, 1.2))))
    hits = drum_notes(rng, pick(rng, material.drums[pick(rng, DRUMMED_AS[idiom])]), style, bars)
    parts.append(Part("drums", pick(rng, names.kits), hits, gain=float(rng.uniform(0.7, 1.6))))
    return Piece(
        idiom, tonic, mode,
        TempoMap("4/4", *tempo_bpm, float(rng.uniform(0.05, 1.0)), bars * 4.0),
        spans, parts,
        swing_eighths=float(rng.uniform(*style.swing)),
        swing_sixteenths=float(rng.uniform(*style.sixteenths)) if style.sixteenths[1] > 0.5 else 0.5,
    )  # fmt: skip


def without_third(rng: np.random.Generator, span: ChordSpan) -> ChordSpan:
    """The chord without its third."""
    return span._replace(quality=pick(rng, ("5", "sus4")))


def shortened(piece: Piece, roles: tuple[str, ...]) -> Piece:
    """The piece with the parts of some roles alone."""
    return replace(piece, parts=[part for part in piece.parts if part.role in roles])
