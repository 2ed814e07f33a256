"""From a tune or chorale that was read to a piece: an excerpt, a key, players and chords."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from tonearm_eval.generator.compose import bass_notes, comping_notes, drum_notes, pick
from tonearm_eval.generator.harmonise import harmonised
from tonearm_eval.generator.material import (
    HAT,
    KICK,
    RIM,
    SNARE,
    TAMB,
    TOM,
    Material,
    Pattern,
    Style,
)  # fmt: skip
from tonearm_eval.generator.piece import (
    BAR_QUARTERS,
    BEAT_QUARTERS,
    Meter,
    Note,
    Part,
    Piece,
    TempoMap,
)
from tonearm_eval.generator.tunes import Sounding, Tune

# Tempo in beats a minute; comping, bass: playing manners of composed clips.
TUNE_STYLES: Final[dict[str, Style]] = {
    "tune44": Style(0, "4/4", (70, 190), "", ("oompah", "block", "arp", "off"), ("rootfifth",)),
    "tune34": Style(0, "3/4", (76, 196), "", ("oompah", "arp", "block"), ("rootfifth", "long")),
    "tune68": Style(0, "6/8", (56, 140), "", ("oompah", "block", "arp"), ("rootfifth", "follow")),
    "chorale44": Style(0, "4/4", (56, 126), "", (), (), loose_ms=(0, 8)),
    "chorale34": Style(0, "3/4", (66, 160), "", (), (), loose_ms=(0, 8)),
}
NOTES_PER_SECOND_MAX: Final = 8.5
CHORD_QUARTERS: Final = {"4/4": (2.0, 4.0), "3/4": (3.0,), "6/8": (1.5, 3.0)}
DRUMS: Final[dict[str, list[Pattern]]] = {
    "4/4": [
        {TOM: "X.o.x.o.X.o.x.oo"}, {KICK: "X.......X.......", TAMB: "..x...x...x...x."},
        {SNARE: "X.xox.xoX.xoxxxo"}, {KICK: "X.......x.......", RIM: "....x.......x..."},
        {KICK: "X...x...X...x...", HAT: "..x...x...x...x."},
    ],
    "3/4": [
        {TOM: "X...o...o...", TAMB: "....x...x..."}, {KICK: "X...........", RIM: "....x...x.o."},
        {SNARE: "X...o.o.x...", KICK: "X..........."},
    ],
    "6/8": [
        {TOM: "X.o.x.X.o.x."}, {SNARE: "X.o.xox.o.xo", KICK: "X.....X....."},
        {KICK: "X.....X.....", TAMB: "....x.....x."}, {KICK: "X...........", HAT: "x...x.x...x."},
    ],
}  # fmt: skip
# General MIDI programs and built-in instruments that no other split plays.
LEADS: Final = (21, 40, 73, 74, 75, 105, 110, 56, 60, 15, 65, 0)
ENSEMBLES: Final[tuple[tuple[int, ...], ...]] = (
    (52, 52, 52, 52), (19, 19, 19, 19), (6, 6, 6, 6), (0, 0, 0, 0), (48, 48, 48, 48),
    (40, 40, 41, 42), (56, 56, 60, 57), (73, 69, 60, 70), (16, 16, 16, 16), (26, 26, 26, 32),
    (74, 74, 74, 42), (80, 80, 4, 38),
)  # fmt: skip
SYNTH_ENSEMBLES: Final = (
    ("organ",) * 4, ("piano",) * 4, ("reed",) * 4, ("reed", "saw", "saw", "finger_bass"),
    ("steel", "steel", "steel", "finger_bass"),
)  # fmt: skip


class Players(NamedTuple):
    """What may be picked in one clip; names of programs or of built-in instruments."""

    leads: tuple[str, ...]
    chords: tuple[str, ...]
    basses: tuple[str, ...]
    kits: tuple[str, ...]
    ensembles: tuple[tuple[str, ...], ...]


def players(material: Material, *, midi: bool) -> Players:
    """The players of a soundfont or of the built-in synthesiser."""
    sounds = material.sounds
    if not midi:
        return Players(sounds.lead, sounds.chords, sounds.bass, (sounds.kit,), SYNTH_ENSEMBLES)
    return Players(
        _names(LEADS), _names(sounds.midi_chords), _names(sounds.midi_bass),
        _names(sounds.midi_kits), tuple(_names(ensemble) for ensemble in ENSEMBLES),
    )  # fmt: skip


def _names(programs: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(map(str, programs))


def style_name(kind: str, meter: Meter) -> str:
    """The style of TUNE_STYLES that a piece of a kind is played in."""
    return f"{kind}{meter.replace('/', '')}"


def tempo_range(tune: Tune) -> tuple[float, float]:
    """Beats a minute between which a piece may be played: not faster than fingers go."""
    low, high = TUNE_STYLES[style_name(tune.kind, tune.meter)].tempo
    per_beat = max(0.25, tune.onsets_per_quarter * BEAT_QUARTERS[tune.meter])
    return low, max(1.25 * low, min(high, 60 * NOTES_PER_SECOND_MAX / per_beat))


def excerpt(voice: tuple[Sounding, ...], tune: Tune, first_bar: int, bars: int) -> list[Sounding]:
    """The notes of `bars` bars from a bar on, the piece going round; the first bar is at 0.

    The pickup is played where the excerpt begins with the piece, and between two times round.
    """
    start, length = (n * BAR_QUARTERS[tune.meter] for n in (first_bar, bars))
    begin = -tune.pickup if first_bar == 0 else 0.0
    out = []
    for turn in range(math.ceil((start + length + tune.pickup) / tune.loop) + 1):
        for note in voice:
            at = note.start + turn * tune.loop - start
            if begin - 1e-6 <= at < length:
                out.append(note._replace(start=at))
    return out


def as_notes(
    rng: np.random.Generator, heard: list[Sounding], shift: int, beat_quarters: float
) -> list[Note]:
    """Soundings as played notes, beats a little louder."""
    out = []
    for start, length, pitch in heard:
        off_beat = abs(start / beat_quarters - round(start / beat_quarters)) > 1e-3
        velocity = (84 if off_beat else 94) + int(rng.integers(-5, 6))
        out.append(Note(start, 0.93 * length, pitch + shift, velocity))
    return out


def choir(rng: np.random.Generator, voices: list[list[Note]], sounds: Players) -> list[Part]:
    """The four voices of a chorale as they stand, perhaps with the bass an octave lower too."""
    ensemble = pick(rng, sounds.ensembles)
    roles, pans = ("lead", "chords", "chords", "bass"), (-0.3, 0.25, -0.1, 0.1)
    parts = [
        Part(role, instrument, notes, pan)
        for role, instrument, notes, pan in zip(roles, ensemble, voices, pans, strict=True)
    ]
    if rng.random() < 0.3:
        low = [note._replace(pitch=note.pitch - 12) for note in voices[3] if note.pitch >= 40]
        parts.append(Part("bass", pick(rng, sounds.basses), low, gain=0.7))
    return [part for part in parts if part.notes]


def melody(rng: np.random.Generator, tune: list[Note], sounds: Players) -> list[Part]:
    """The tune on one instrument, at times on two, at a height that suits it."""
    octave = 12 * round((float(rng.uniform(66, 76)) - float(np.mean([n.pitch for n in tune]))) / 12)
    tune = [note._replace(pitch=note.pitch + octave) for note in tune]
    parts = [Part("lead", pick(rng, sounds.leads), tune, 0.2, float(rng.uniform(0.8, 1.3)))]
    if rng.random() < 0.25:
        parts.append(Part("lead", pick(rng, sounds.leads), tune, -0.3, 0.7))
    return parts


def arrange(
    rng: np.random.Generator,
    tune: Tune,
    material: Material,
    *,
    tonic: int,
    tempo_bpm: tuple[float, float],
    duration_s: float,
    midi: bool,
) -> Piece:
    """A piece of the tune.  tempo_bpm: at the start and at the end.  midi: name MIDI programs.

    Chords are known only where they are written here: under a tune, not in a chorale.
    """
    style, bar = TUNE_STYLES[style_name(tune.kind, tune.meter)], BAR_QUARTERS[tune.meter]
    beat, sounds = BEAT_QUARTERS[tune.meter], players(material, midi=midi)
    bars = math.ceil(duration_s * max(tempo_bpm) / 60 * beat / bar) + 1
    first_bar = 0 if rng.random() < 0.5 else int(rng.integers(round(tune.loop / bar)))
    shift = (tonic - tune.tonic + 6) % 12 - 6
    voices = [
        as_notes(rng, excerpt(voice, tune, first_bar, bars), shift, beat) for voice in tune.voices
    ]
    chords = []
    if tune.kind == "chorale":
        parts, manner, drummed = choir(rng, voices, sounds), "voices", rng.random() < 0.15
    else:
        parts, manner = melody(rng, voices[0], sounds), pick(rng, ("alone", "band", "band", "band"))
        drummed = rng.random() < 0.5
    if manner == "band":
        chords = harmonised(
            rng, voices[0], meter=tune.meter, tonic=tonic, mode=tune.mode, bars=bars,
            step=pick(rng, CHORD_QUARTERS[tune.meter]),
        )  # fmt: skip
        played = comping_notes(rng, style, chords, pick(rng, style.comping))
        line = bass_notes(rng, style, chords, pick(rng, style.bass))
        parts.append(Part("chords", pick(rng, sounds.chords), played, -0.3))
        parts.append(Part("bass", pick(rng, sounds.basses), line))
    if drummed:
        hits = drum_notes(rng, pick(rng, DRUMS[tune.meter]), style, bars)
        parts.append(Part("drums", pick(rng, sounds.kits), hits, gain=float(rng.uniform(0.4, 1.1))))
    pickup = max(0.0, -min(note.start for voice in voices for note in voice))
    lead_s = float(rng.uniform(0.05, 1.0)) + pickup / beat * 60 / tempo_bpm[0]
    swing = float(rng.uniform(0.55, 0.66)) if tune.meter == "4/4" and rng.random() < 0.12 else 0.5
    return Piece(
        style_name(tune.kind, tune.meter), tonic, tune.mode,
        TempoMap(tune.meter, *tempo_bpm, lead_s, bars * bar), chords, parts,
        swing_eighths=0.5 if tune.kind == "chorale" else swing,
        traits={"manner": manner + ("+drums" if drummed else ""), "source": tune.name},
        pickup=pickup,
    )  # fmt: skip
