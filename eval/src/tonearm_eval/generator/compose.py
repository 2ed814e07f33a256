"""From a style, a key and a tempo to a piece, note by note."""

from __future__ import annotations

import math
from typing import Final, TypeVar

import numpy as np

from tonearm_eval.generator.material import KICK, STYLES, Material, Pattern, Style
from tonearm_eval.generator.piece import (
    BAR_QUARTERS,
    CHORD_TONES,
    ChordSpan,
    Mode,
    Note,
    Part,
    Piece,
    TempoMap,
)

T = TypeVar("T")
VELOCITY: Final = {"o": 52, "x": 90, "X": 114}
SCALES: Final = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}
DRUM_FILL_CHANCE: Final = 0.4


def pick(rng: np.random.Generator, items: list[T] | tuple[T, ...]) -> T:
    """One of the items, each as likely."""
    return items[int(rng.integers(len(items)))]


def near(pitch_class: int, low: int) -> int:
    """The lowest pitch of that class from `low` on."""
    return low + (pitch_class - low) % 12


def chord_spans(
    rng: np.random.Generator, style: Style, material: Material, tonic: int, mode: Mode, bars: int
) -> list[ChordSpan]:
    """Two progressions in turn, as verse and chorus, every chord as long as the style has it."""
    pool = material.progressions[(style.harmony, mode)]
    verse, chorus = pick(rng, pool), pick(rng, pool)
    length = pick(rng, style.chord_bars) * BAR_QUARTERS[style.meter]
    total, at, spans, index = bars * BAR_QUARTERS[style.meter], 0.0, [], 0
    section = max(1, 8 // len(verse)) * len(verse)
    while at < total - 1e-6:
        progression = chorus if (index // section) % 3 == 1 else verse
        step, quality = progression[index % len(progression)]
        spans.append(ChordSpan(at, length, (tonic + step) % 12, quality))
        at += length
        index += 1
    return spans


def drum_notes(rng: np.random.Generator, pattern: Pattern, style: Style, bars: int) -> list[Note]:
    """The pattern bar by bar, with gaps, fills at the end of every fourth bar and two-bar rows."""
    steps, bar_quarters = (16 if style.meter == "4/4" else 12), BAR_QUARTERS[style.meter]
    gaps, notes = rng.uniform(0, 0.06), []
    for bar in range(bars):
        fill = bar % 4 == 3 and rng.random() < DRUM_FILL_CHANCE
        for key, rows in pattern.items():
            alternatives = rows.split("|")
            for step, mark in enumerate(alternatives[bar % len(alternatives)]):
                late = fill and step >= steps - 4 and key != KICK
                if mark == "." or late or (step and rng.random() < gaps):
                    continue
                notes.append(Note(bar * bar_quarters + step / 4, 0.2, key, VELOCITY[mark]))
        if fill:
            end = (bar + 1) * bar_quarters
            notes += [Note(end - 1 + k / 4, 0.2, 45 if k > 1 else 38, 78 + 9 * k) for k in range(4)]
        if bar % 8 == 0 and rng.random() < 0.4:
            notes.append(Note(bar * bar_quarters, 1.0, 49, 100))
    return notes


def voicing(chord: ChordSpan, before: list[int] | None, low: int = 53) -> list[int]:
    """The inversion of the chord nearest to the one before."""
    classes = [(chord.root + step) % 12 for step in CHORD_TONES[chord.quality]]
    choices = []
    for turn in range(len(classes)):
        pitch, voices = low - 1, []
        for pitch_class in classes[turn:] + classes[:turn]:
            pitch = near(pitch_class, pitch + 1)
            voices.append(pitch)
        choices.append(voices)
    if before is None:
        return choices[0]
    centre = float(np.mean(before))
    return min(choices, key=lambda voices: abs(float(np.mean(voices)) - centre))


def _comping_hits(manner: str, quarters: float, compound: bool) -> list[tuple[float, float, int]]:
    """(start, length, velocity) of the chords of one span."""
    pulse = 1.5 if compound else 1.0
    grid = np.arange(0, quarters - 1e-6, pulse)
    if manner == "pad":
        return [(0.0, 0.97 * quarters, 72)]
    if manner in ("block", "chorale"):
        return [(q, 0.9 * pulse, 86 if q == 0 else 76) for q in grid]
    if manner == "eighths":
        eighths = np.arange(0, quarters - 1e-6, 0.5)
        return [(q, 0.42, 88 if q % pulse == 0 else 72) for q in eighths]
    if manner == "off":
        return [(q + pulse / 2, 0.3, 84) for q in grid if not compound] or [(0.5, 0.4, 80)]
    if manner == "oompah":
        if compound:
            return [(q + 1.0, 0.45, 76) for q in grid]
        return [(q, 0.6, 76) for q in grid if q % BAR_QUARTERS["3/4"] or quarters % 3]
    patterns = {
        "stabs": [(0.0, 0.3, 88), (0.75, 0.3, 80), (1.5, 0.4, 84), (2.5, 0.3, 78)],
        "charleston": [(0.0, 0.7, 80), (1.5, 0.4, 76)],
        "synco": [(0.0, 0.7, 80), (1.5, 0.4, 76), (2.5, 0.7, 80), (3.5, 0.4, 72)],
    }
    return [hit for hit in patterns[manner] if hit[0] < quarters]


def comping_notes(
    rng: np.random.Generator, style: Style, spans: list[ChordSpan], manner: str
) -> list[Note]:
    """Chords in one playing manner."""
    notes: list[Note] = []
    before: list[int] | None = None
    compound = style.meter == "6/8"
    for chord in spans:
        voices = before = voicing(chord, before)
        if manner == "arp":
            ladder = [*voices, voices[0] + 12, *voices[:0:-1]]
            for k, at in enumerate(np.arange(0, chord.length - 1e-6, 0.5)):
                pitch = ladder[k % len(ladder)]
                notes.append(Note(chord.start + at, 0.7, pitch, 84 if k == 0 else 72))
            continue
        for at, length, velocity in _comping_hits(manner, chord.length, compound):
            touch = velocity + int(rng.integers(-4, 5))
            notes += [Note(chord.start + at, length, pitch, touch) for pitch in voices]
    return notes


def bass_notes(
    rng: np.random.Generator, style: Style, spans: list[ChordSpan], manner: str
) -> list[Note]:
    """A bass line in one playing manner."""
    notes: list[Note] = []
    pulse = 1.5 if style.meter == "6/8" else 1.0
    for index, chord in enumerate(spans):
        root = near(chord.root, 33)
        tones = CHORD_TONES[chord.quality]
        fifth = root + (6 if 6 in tones else 7)
        following = near(spans[(index + 1) % len(spans)].root, 33)
        grid = np.arange(0, chord.length - 1e-6, pulse)
        if manner == "root8":
            eighths = np.arange(0, chord.length - 1e-6, 0.5)
            hits = [(q, 0.45, root) for q in eighths]
        elif manner == "offbeat":
            hits = [(q + 0.5, 0.4, root) for q in grid]
        elif manner == "walk":
            line = [root, root + tones[1], fifth, following + int(rng.choice([-1, 1, 2]))]
            hits = [
                (q, 0.9, line[-1] if q == grid[-1] else line[k % 3]) for k, q in enumerate(grid)
            ]
        elif manner == "synco":
            hits = [(q, 0.6, root if q != 2.5 else fifth) for q in (0.0, 0.75, 1.5, 2.5)]
        elif manner == "long":
            hits = [(0.0, 0.6 * chord.length, root), (0.625 * chord.length, 0.9, root)]
        elif manner == "follow":
            hits = [(q, 0.95 * pulse, root) for q in grid]
        else:
            hits = [
                (q, 0.9 * pulse, root if k % 2 == 0 else fifth) for k, q in enumerate(grid[::2])
            ]
            hits = [(q, length, pitch) for (q, length, pitch) in hits]
        notes += [
            Note(chord.start + float(q), length, pitch, 98 if q == 0 else 86)
            for q, length, pitch in hits
            if q < chord.length
        ]
    return notes


def melody_notes(
    rng: np.random.Generator,
    material: Material,
    style: Style,
    spans: list[ChordSpan],
    tonic: int,
    mode: Mode,
    bars: int,
) -> list[Note]:
    """A tune on the scale that rests on chord tones, from four rhythm cells that come back."""
    cells = [pick(rng, material.rhythms[style.meter]) for _ in range(4)]
    scale = {(tonic + step) % 12 for step in SCALES[mode]}
    pitch, notes, index = near(tonic, 66), [], 0
    for bar in range(bars):
        at = bar * BAR_QUARTERS[style.meter]
        if rng.random() < 0.1:
            continue
        for k, length in enumerate(cells[bar % 4]):
            while index + 1 < len(spans) and spans[index + 1].start <= at + 1e-6:
                index += 1
            chord = {(spans[index].root + s) % 12 for s in CHORD_TONES[spans[index].quality]}
            allowed = chord if k == 0 or rng.random() < 0.5 else scale | chord
            goal = pitch + int(rng.choice([-5, -3, -2, -1, 1, 2, 3, 5]))
            choices = [p for p in range(60, 85) if p % 12 in allowed]
            pitch = min((abs(p - goal), p) for p in choices)[1]
            if rng.random() > 0.06:
                notes.append(Note(at, 0.92 * length, pitch, int(rng.integers(86, 110))))
            at += length
    return notes


def compose(
    rng: np.random.Generator,
    name: str,
    material: Material,
    *,
    tonic: int,
    mode: Mode,
    tempo_bpm: tuple[float, float],
    duration_s: float,
    midi: bool,
) -> Piece:
    """One piece.  tempo_bpm: at the start and at the end.  midi: name General MIDI programs."""
    style = STYLES[name]
    lead_s = float(rng.uniform(0.05, 1.0))
    bar_quarters = BAR_QUARTERS[style.meter]
    beat_quarters = 1.5 if style.meter == "6/8" else 1.0
    bars = math.ceil(duration_s * max(tempo_bpm) / 60 * beat_quarters / bar_quarters) + 1
    spans = chord_spans(rng, style, material, tonic, mode, bars)
    sounds = material.sounds
    comping = pick(rng, style.comping)
    leads = tuple(map(str, sounds.midi_lead)) if midi else sounds.lead
    players = tuple(map(str, sounds.midi_chords)) if midi else sounds.chords
    basses = tuple(map(str, sounds.midi_bass)) if midi else sounds.bass
    parts = [
        Part("chords", pick(rng, players), comping_notes(rng, style, spans, comping), -0.3),
        Part("bass", pick(rng, basses), bass_notes(rng, style, spans, pick(rng, style.bass))),
    ]
    if rng.random() < 0.8:
        tune = melody_notes(rng, material, style, spans, tonic, mode, bars)
        parts.append(Part("lead", pick(rng, leads), tune, 0.3, float(rng.uniform(0.6, 1.2))))
    if style.drums:
        kit = str(pick(rng, sounds.midi_kits)) if midi else sounds.kit
        hits = drum_notes(rng, pick(rng, material.drums[name]), style, bars)
        parts.append(Part("drums", kit, hits, gain=float(rng.uniform(0.6, 1.3))))
    tempo = TempoMap(style.meter, *tempo_bpm, lead_s, bars * bar_quarters)
    return Piece(
        name, tonic, mode, tempo, spans, parts,
        swing_eighths=float(rng.uniform(*style.swing)),
        swing_sixteenths=float(rng.uniform(*style.sixteenths)) if style.sixteenths[1] > 0.5 else 0.5,
        traits={"comping": comping},
    )  # fmt: skip
