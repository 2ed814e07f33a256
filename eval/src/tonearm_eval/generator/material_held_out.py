"""The test split's material: nothing here is in the development split."""

from __future__ import annotations

from tonearm_eval.generator.material import (
    CLAP,
    HAT,
    KICK,
    OPEN,
    RIDE,
    RIM,
    SHAKER,
    SNARE,
    TOM,
    Material,
    Sounds,
    chords,
)

TEST = Material(
    progressions={
        ("pop", "major"): [
            chords("0:maj 9:min 2:min 7:maj"), chords("5:maj 0:maj 7:maj 9:min"),
            chords("0:maj 7:maj 5:maj 5:maj"), chords("0:maj 10:maj 5:maj 0:maj"),
            chords("0:maj 5:maj 2:min 7:maj"), chords("0:maj 4:maj 9:min 5:maj"),
        ],
        ("pop", "minor"): [
            chords("0:min 10:maj 5:min 8:maj"), chords("8:maj 10:maj 0:min 0:min"),
            chords("0:min 3:maj 10:maj 5:min"), chords("0:min 8:maj 5:min 10:maj"),
            chords("0:min 0:min 8:maj 7:maj"),
        ],
        ("vamp", "major"): [
            chords("0:maj 5:maj 10:maj 5:maj"), chords("0:maj 2:maj"), chords("0:7 10:maj 5:7 0:7"),
        ],
        ("vamp", "minor"): [
            chords("0:min 3:maj"), chords("0:min7 10:maj 8:maj 10:maj"), chords("0:min 5:min"),
        ],
        ("blues", "major"): [
            chords("0:7 5:7 0:7 0:7 5:7 5:7 0:7 9:7 2:7 7:7 0:7 7:7"),
        ],
        ("blues", "minor"): [chords("0:min 5:min 0:min 0:min 8:7 7:7 0:min 7:7")],
        ("jazz", "major"): [
            chords("0:maj7 2:min7 4:min7 7:7"), chords("5:maj7 4:min7 2:min7 7:7"),
            chords("0:maj7 5:7 0:maj7 7:7"),
        ],
        ("jazz", "minor"): [
            chords("0:min7 10:7 8:maj7 7:7"), chords("0:min7 0:min7 2:hdim7 7:7"),
        ],
        ("folk", "major"): [
            chords("0:maj 5:maj 0:maj 7:7"), chords("0:maj 2:min 7:maj 0:maj"),
            chords("0:maj 0:maj 7:maj 7:maj"), chords("0:maj 4:min 9:min 7:maj"),
        ],
        ("folk", "minor"): [
            chords("0:min 3:maj 10:maj 0:min"), chords("0:min 5:min 10:maj 0:min"),
            chords("0:min 8:maj 10:maj 7:min"),
        ],
        ("hymn", "major"): [
            chords("0:maj 9:min 5:maj 7:maj 0:maj 5:maj 7:7 0:maj"),
            chords("0:maj 2:min 7:maj 0:maj 5:maj 9:min 7:maj 0:maj"),
        ],
        ("hymn", "minor"): [
            chords("0:min 8:maj 5:min 7:maj 0:min 3:maj 7:maj 0:min"),
            chords("0:min 5:min 10:maj 3:maj 8:maj 5:min 7:7 0:min"),
        ],
    },
    drums={
        "pop": [
            {KICK: "X..x....x.......", SNARE: "....X.......X...", SHAKER: "xoxoxoxoxoxoxoxo"},
            {KICK: "X.......x..x....", SNARE: "....X.......X...", RIDE: "x.x.x.x.x.x.x.x."},
        ],
        "rock": [
            {KICK: "X.......X.x.....", SNARE: "....X.......X...", HAT: "X.x.X.x.X.x.X.x."},
            {KICK: "X..x..x...x.....", SNARE: "....X.......X...", RIDE: "x...x...x...x..."},
        ],
        "punk": [
            {KICK: "X...x.x.X...x...", SNARE: "..X...X...X...X.", RIDE: "x...x...x...x..."},
        ],
        "funk": [
            {KICK: "X......x..x...x.", SNARE: "....X..o..o.X...", HAT: "x.x.x.xxx.x.x.x."},
            {KICK: "X.x.......xx....", SNARE: "....X....o..X..o", OPEN: "..x...x...x...x."},
        ],
        "house": [
            {KICK: "X...X...X...X..o", CLAP: "....x.......x...", HAT: "..x...x...x...x."},
            {KICK: "X...X...X...X...", OPEN: "..x...x...x...x.", SHAKER: "xoxoxoxoxoxoxoxo"},
        ],
        "techno": [
            {KICK: "X...X...X...X...", HAT: "..x...x...x...x.", CLAP: "....x.......x...",
             TOM: ".......x......x."},
        ],
        "dnb": [
            {KICK: "X.....x...x.....", SNARE: "....X....o..X...", HAT: "xoxoxoxoxoxoxoxo"},
            {KICK: "X..x......x.....", SNARE: "....X.......X.o.", HAT: "x.x.xxx.x.x.x.xx"},
        ],
        "hiphop": [
            {KICK: "X.x....x..x.....", SNARE: "....X.......X...", HAT: "x.x.x.x.x.x.xxx."},
            {KICK: "X.......xx......", SNARE: "....X..o....X...", RIDE: "x...x...x...x..."},
        ],
        "trap": [
            {KICK: "X.....x...x...x.", SNARE: "....X.......X...", HAT: "xxx.x.x.xxxxx.x."},
        ],
        "reggae": [
            {KICK: "........X.......", SNARE: "........x.......", HAT: "x..xx..xx..xx..x"},
            {KICK: "X.......X.......", RIM: "....x.......x...", HAT: "x.x.x.x.x.x.x.x."},
        ],
        "shuffle": [
            {KICK: "X.....x.X.....x.", SNARE: "....X.......X...", RIDE: "x.x.x.x.x.x.x.x."},
        ],
        "swing": [
            {RIDE: "x...X...x...X.x.", HAT: "....x.......x...", SNARE: "......o.......o."},
        ],
        "bossa": [
            {KICK: "x.....x.x.....x.", RIM: "..x...x.....x...|x.....x...x.....",
             HAT: "x.x.x.x.x.x.x.x."},
        ],
        "ballad": [
            {KICK: "x.........x.....", SNARE: "....x.......x...", RIDE: "x...x...x...x..."},
            {KICK: "x.....o.x.......", RIM: "....x.......x...", SHAKER: "x.o.x.o.x.o.x.o."},
        ],
        "waltz": [
            {KICK: "X...........", RIM: "....x...x...", RIDE: "x...x...x..."},
            {KICK: "X.......o...", SNARE: "....x...x...", HAT: "x.x.x.x.x.x."},
        ],
        "jazzwaltz": [{RIDE: "x...x.x.x.x.", HAT: "....x...x...", KICK: "o.......o..."}],
        "slow68": [
            {KICK: "X...x.......", SNARE: "......X.....", RIDE: "x.x.x.x.x.x."},
            {KICK: "X.......x...", SNARE: "......X...o.", HAT: "x.o.o.x.o.o."},
        ],
        "jig": [
            {KICK: "X...........", SNARE: "......x.....", HAT: "x.o.o.x.o.o."},
        ],
    },
    rhythms={
        "4/4": [(1, 1, 2), (0.5, 1, 0.5, 1, 1), (3, 1), (1.5, 1.5, 1), (0.5, 0.5, 0.5, 0.5, 2)],
        "3/4": [(1, 2), (0.5, 0.5, 1, 1), (3,)],
        "6/8": [(1, 0.5, 1.5), (0.5, 0.5, 0.5, 1.5), (1.5, 1, 0.5)],
    },
    sounds=Sounds(
        ("flute", "square", "brass", "mallet"), ("nylon", "tine", "strings", "drive"),
        ("upright", "acid"), "kit_hard",
        (66, 81, 68, 71, 27, 22), (1, 24, 18, 49, 5, 29), (34, 39, 35), (16, 24, 32),
    ),
    soundfonts=("OPL-3_FM_128M.sf2", "sf_GMbank.sf2"),
    noises=("brown", "hum"),
    codecs=(("mp3", 96), ("aac", 64), ("vorbis", 80), ("opus", 48)),
)  # fmt: skip
