"""What pieces are made of, in two sets that share no progression, rhythm, sound or drum pattern.

Chords: semitones above the tonic and a quality.  Drum patterns: one character a sixteenth, x plain,
X accented, o soft; 16 to a 4/4 bar, 12 to a 3/4 or 6/8 bar.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Progression = list[tuple[int, str]]
Pattern = dict[int, str]

KICK, SNARE, CLAP, RIM, HAT, OPEN, RIDE, CRASH, TOM, SHAKER, TAMB = (
    36, 38, 39, 37, 42, 46, 51, 49, 45, 70, 54,
)  # fmt: skip


def chords(text: str) -> Progression:
    """ "0:maj 9:min" -> [(0, "maj"), (9, "min")]."""
    return [(int(step), quality) for step, quality in (c.split(":") for c in text.split())]


class Sounds(NamedTuple):
    """Instruments of the built-in synth and General MIDI programs of the same roles."""

    lead: tuple[str, ...]
    chords: tuple[str, ...]
    bass: tuple[str, ...]
    kit: str
    midi_lead: tuple[int, ...]
    midi_chords: tuple[int, ...]
    midi_bass: tuple[int, ...]
    midi_kits: tuple[int, ...]


@dataclass(frozen=True)
class Material:
    """All that one split may use."""

    progressions: dict[tuple[str, str], list[Progression]]
    drums: dict[str, list[Pattern]]
    rhythms: dict[str, list[tuple[float, ...]]]
    sounds: Sounds
    soundfonts: tuple[str, ...]
    noises: tuple[str, ...]
    codecs: tuple[tuple[str, int], ...] = field(default=())


@dataclass(frozen=True)
class Style:
    """weight: share of clips.  tempo: range in beats a minute.  harmony: family of progressions.

    comping, bass: names of playing manners.  swing: range of the place of the second eighth.
    sixteenths: the same for sixteenths.  chord_bars: bars to a chord, picked at random.
    """

    weight: float
    meter: Literal["4/4", "3/4", "6/8"]
    tempo: tuple[float, float]
    harmony: str
    comping: tuple[str, ...]
    bass: tuple[str, ...]
    swing: tuple[float, float] = (0.5, 0.5)
    sixteenths: tuple[float, float] = (0.5, 0.5)
    chord_bars: tuple[float, ...] = (1.0,)
    drums: bool = True
    loose_ms: tuple[float, float] = (0.0, 12.0)


STYLES: dict[str, Style] = {
    "pop": Style(9, "4/4", (84, 132), "pop", ("block", "pad", "eighths"), ("root8", "rootfifth")),
    "rock": Style(8, "4/4", (96, 172), "pop", ("eighths", "block"), ("root8",)),
    "punk": Style(4, "4/4", (165, 205), "pop", ("eighths",), ("root8",), chord_bars=(1.0, 2.0)),
    "funk": Style(
        6, "4/4", (88, 122), "vamp", ("stabs", "off"), ("synco",), chord_bars=(1.0, 2.0)
    ),
    "house": Style(7, "4/4", (116, 130), "pop", ("off", "pad", "stabs"), ("offbeat", "root8")),
    "techno": Style(5, "4/4", (126, 145), "vamp", ("stabs", "pad"), ("offbeat",), loose_ms=(0, 2)),
    "dnb": Style(6, "4/4", (164, 182), "vamp", ("pad",), ("long",), chord_bars=(1.0, 2.0)),
    "hiphop": Style(
        7, "4/4", (72, 104), "vamp", ("pad", "block", "arp"), ("synco", "long"),
        sixteenths=(0.5, 0.62),
    ),
    "trap": Style(5, "4/4", (62, 82), "pop", ("pad", "arp"), ("long",)),
    "reggae": Style(5, "4/4", (66, 92), "pop", ("off",), ("synco", "rootfifth")),
    "shuffle": Style(6, "4/4", (86, 150), "blues", ("block", "off"), ("walk",), swing=(0.63, 0.68)),
    "swing": Style(
        8, "4/4", (108, 208), "jazz", ("charleston",), ("walk",), swing=(0.58, 0.68),
        loose_ms=(4, 14),
    ),
    "bossa": Style(5, "4/4", (112, 156), "jazz", ("synco",), ("rootfifth",)),
    "ballad": Style(
        8, "4/4", (58, 84), "pop", ("arp", "block"), ("rootfifth", "long"), chord_bars=(0.5, 1.0)
    ),
    "waltz": Style(8, "3/4", (84, 186), "folk", ("oompah", "arp"), ("rootfifth",)),
    "jazzwaltz": Style(
        4, "3/4", (112, 178), "jazz", ("charleston",), ("walk",), swing=(0.58, 0.67)
    ),
    "slow68": Style(8, "6/8", (50, 84), "pop", ("arp", "block"), ("rootfifth", "long")),
    "jig": Style(7, "6/8", (92, 132), "folk", ("oompah", "block"), ("rootfifth",)),
    "folk": Style(5, "4/4", (84, 138), "folk", ("oompah", "arp"), ("rootfifth",), drums=False),
    "chorale": Style(
        5, "4/4", (62, 112), "hymn", ("chorale",), ("follow",), chord_bars=(0.25, 0.5),
        drums=False, loose_ms=(0, 8),
    ),
    "minuet": Style(
        4, "3/4", (92, 144), "hymn", ("arp", "chorale"), ("follow",), chord_bars=(1.0,),
        drums=False, loose_ms=(0, 8),
    ),
}  # fmt: skip

DEV = Material(
    progressions={
        ("pop", "major"): [
            chords("0:maj 5:maj 9:min 7:maj"), chords("0:maj 4:min 5:maj 7:maj"),
            chords("0:maj 2:min 5:maj 0:maj"), chords("0:maj 7:maj 2:min 5:maj"),
            chords("0:maj 9:min 4:min 5:maj"), chords("5:maj 7:maj 4:min 9:min"),
            chords("0:maj 5:maj 7:maj 5:maj"), chords("0:maj 8:maj 10:maj 0:maj"),
            chords("0:maj 5:maj 5:min 0:maj"), chords("0:5 7:5 9:5 5:5"),
            chords("0:maj 0:sus4 5:maj 7:sus4"),
        ],
        ("pop", "minor"): [
            chords("0:min 8:maj 3:maj 10:maj"), chords("0:min 5:min 8:maj 7:maj"),
            chords("0:min 10:maj 3:maj 8:maj"), chords("0:min 3:maj 5:min 7:min"),
            chords("0:min 7:min 8:maj 5:min"), chords("0:min 7:min 5:min 10:maj"),
            chords("0:min 5:min 0:min 7:maj"), chords("0:min 8:maj 10:maj 5:maj"),
            chords("0:5 8:5 3:5 10:5"),
        ],
        ("vamp", "major"): [
            chords("0:7 5:7"), chords("0:maj 10:maj"), chords("0:maj7 2:min7"),
            chords("0:maj7 5:maj7"), chords("0:maj 7:min"), chords("0:maj 9:min"), chords("0:7"),
        ],
        ("vamp", "minor"): [
            chords("0:min7 5:7"), chords("0:min 10:maj"), chords("0:min7 8:maj7"),
            chords("0:min7 2:min7"), chords("0:min 1:maj"), chords("0:min7 7:min7"),
            chords("0:min 7:7"), chords("0:min7"),
        ],
        ("blues", "major"): [
            chords("0:7 0:7 0:7 0:7 5:7 5:7 0:7 0:7 7:7 5:7 0:7 7:7"),
            chords("0:7 5:7 0:7 0:7 5:7 5:7 0:7 0:7 2:min7 7:7 0:7 7:7"),
            chords("0:7 0:7 5:7 0:7 7:7 5:7"),
        ],
        ("blues", "minor"): [
            chords("0:min7 0:min7 5:min7 5:min7 0:min7 0:min7 8:7 7:7"),
            chords(
                "0:min7 5:min7 0:min7 0:min7 5:min7 5:min7 0:min7 0:min7 7:min7 5:min7 0:min7 0:min7"
            ),
        ],
        ("jazz", "major"): [
            chords("2:min7 7:7 0:maj7 9:7"), chords("0:maj7 3:dim 2:min7 7:7"),
            chords("0:maj7 0:maj7 5:maj7 7:7"), chords("4:min7 9:7 2:min7 7:7"),
            chords("0:maj7 5:7 4:min7 9:7 2:min7 7:7"),
            chords("0:maj7 7:min7 0:7 5:maj7 5:min7 10:7 0:maj7 7:7"),
        ],
        ("jazz", "minor"): [
            chords("2:hdim7 7:7 0:min7 8:maj7"), chords("0:min7 5:min7 2:hdim7 7:7"),
            chords("0:min7 5:min7 10:7 3:maj7 8:maj7 2:hdim7 7:7 0:min7"),
            chords("0:min7 9:hdim7 2:hdim7 7:7"),
        ],
        ("folk", "major"): [
            chords("0:maj 0:maj 5:maj 7:maj"), chords("0:maj 7:maj 5:maj 7:maj"),
            chords("0:maj 9:min 5:maj 7:maj"), chords("0:maj 5:maj 7:7 0:maj"),
            chords("0:maj 5:maj 2:min 5:maj"), chords("0:maj 0:maj 10:maj 0:maj"),
        ],
        ("folk", "minor"): [
            chords("0:min 10:maj 0:min 7:min"), chords("0:min 0:min 5:min 7:maj"),
            chords("0:min 10:maj 8:maj 7:min"), chords("0:min 5:maj 0:min 10:maj"),
        ],
        ("hymn", "major"): [
            chords("0:maj 5:maj 7:maj 0:maj 9:min 2:min 7:7 0:maj"),
            chords("0:maj 7:maj 9:min 4:min 5:maj 0:maj 7:maj 0:maj"),
            chords("0:maj 5:maj 0:maj 7:maj 9:min 5:maj 2:min 7:maj"),
            chords("0:maj 2:7 7:maj 0:maj 5:maj 0:maj 7:7 0:maj"),
        ],
        ("hymn", "minor"): [
            chords("0:min 5:min 7:maj 0:min 8:maj 3:maj 7:7 0:min"),
            chords("0:min 7:maj 0:min 10:maj 3:maj 5:min 7:maj 0:min"),
            chords("0:min 10:maj 3:maj 7:maj 0:min 5:min 7:7 0:min"),
        ],
    },
    drums={
        "pop": [
            {KICK: "X.......x.......", SNARE: "....X.......X...", HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "X.....x.x.......", CLAP: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
        ],
        "rock": [
            {KICK: "X.....x.x.x.....", SNARE: "....X.......X...", RIDE: "x.x.x.x.x.x.x.x."},
            {KICK: "X.x.....X.......", SNARE: "....X.......X..o", OPEN: "x...x...x...x..."},
        ],
        "punk": [{KICK: "X...X...X...X...", SNARE: "..X...X...X...X.", HAT: "x.x.x.x.x.x.x.x."},
                 {KICK: "X.....X.X.......", SNARE: "....X.......X...", OPEN: "x.x.x.x.x.x.x.x."}],
        "funk": [
            {KICK: "X.x...x...x..x..", SNARE: "....X..o.o..X..o", HAT: "x.xxx.xxx.xxx.xx"},
            {KICK: "X..x..x.....x...", SNARE: "....X.o.....X.o.", HAT: "xoxoxoxoxoxoxoxo"},
        ],
        "house": [
            {KICK: "X...X...X...X...", CLAP: "....x.......x...", OPEN: "..x...x...x...x."},
            {KICK: "X...X...X...X...", SNARE: "....x.......x...", SHAKER: "oxoxoxoxoxoxoxox"},
        ],
        "techno": [
            {KICK: "X...X...X...X...", OPEN: "..x...x...x...x.", RIM: "...x..x....x..x."},
            {KICK: "X...X...X...X...", HAT: "xxxxxxxxxxxxxxxx", CLAP: "............x..."},
        ],
        "dnb": [
            {KICK: "X.........x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X.x.......x.....", SNARE: "....X..o.o..X..o", RIDE: "x.x.x.x.x.x.x.x."},
        ],
        "hiphop": [
            {KICK: "X......x.x......", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
            {KICK: "X..x...x..x.....", CLAP: "....X.......X...", HAT: "x.xxx.x.x.xxx.x."},
        ],
        "trap": [
            {KICK: "X......x..x.....", CLAP: "....X.......X...", HAT: "x.x.xxx.x.x.xxxx"},
        ],
        "reggae": [
            {RIM: "........X.......", KICK: "........X.......", HAT: "x.o.x.o.x.o.x.o."},
            {KICK: "X...X...X...X...", RIM: "........X.......", HAT: "..x...x...x...x."},
        ],
        "shuffle": [
            {KICK: "X.......X.......", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.x.x."},
        ],
        "swing": [
            {RIDE: "x...X.x.x...X.x.", HAT: "....x.......x...", KICK: "o...o...o...o..."},
        ],
        "bossa": [
            {KICK: "x.....xox.....xo", RIM: "x.....x.....x...|....x.....x.....",
             SHAKER: "xoxoxoxoxoxoxoxo"},
        ],
        "ballad": [
            {KICK: "x.......x.x.....", RIM: "....x.......x...", HAT: "x.o.x.o.x.o.x.o."},
        ],
        "waltz": [
            {KICK: "X...........", SNARE: "....o...o...", HAT: "....x...x..."},
            {KICK: "X...........", TAMB: "....x...x...", RIDE: "x.x.x.x.x.x."},
        ],
        "jazzwaltz": [{RIDE: "x...X.x.x...", HAT: "....x.......", KICK: "o..........."}],
        "slow68": [
            {KICK: "X.........x.", SNARE: "......X.....", HAT: "x.x.x.x.x.x."},
            {KICK: "X...........", RIM: "......X.....", SHAKER: "x.o.o.x.o.o."},
        ],
        "jig": [
            {KICK: "X.....x.....", TAMB: "x.o.x.x.o.x."},
        ],
    },
    rhythms={
        "4/4": [(1, 1, 1, 1), (1.5, 0.5, 2), (0.5, 0.5, 1, 1, 1), (2, 1, 1), (1, 0.5, 0.5, 2)],
        "3/4": [(1, 1, 1), (2, 1), (1.5, 0.5, 1)],
        "6/8": [(1.5, 1.5), (0.5, 0.5, 0.5, 1, 0.5), (1, 0.5, 1, 0.5)],
    },
    sounds=Sounds(
        ("reed", "saw", "piano"), ("piano", "steel", "organ"), ("finger_bass", "sub"), "kit_round",
        (65, 80, 73, 40, 26, 0), (0, 25, 16, 48, 4), (33, 38, 32), (0, 8, 25),
    ),
    soundfonts=("FluidR3_GM.sf2", "MuseScore_General.sf3"),
    noises=("white", "pink"),
    codecs=(("mp3", 64), ("mp3", 128)),
)  # fmt: skip
