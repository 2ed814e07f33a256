"""Which clips a run makes: styles by weight, tunes by meter, keys evenly."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable, Collection, Iterable
from typing import Final

import numpy as np

from tonearm_eval.generator.arrange import style_name
from tonearm_eval.generator.clip import Job
from tonearm_eval.generator.idioms import DRUMMED_AS, IDIOM_STYLES, MINOR_SHARES
from tonearm_eval.generator.material import DEV, STYLES
from tonearm_eval.generator.piece import Mode
from tonearm_eval.generator.tunes import (
    NoCorpus,
    Source,
    Tune,
    corpus_sources,
    development,
    read,
    stated,
)
from tonearm_eval.generator.varied import varied_pattern

MODES: Final[tuple[Mode, ...]] = ("major", "minor")
# Shares of the styles of arrange.TUNE_STYLES in a run of tunes.
TUNE_SHARES: Final = {
    "tune68": 0.3, "tune34": 0.22, "tune44": 0.23, "chorale44": 0.2, "chorale34": 0.05,
}  # fmt: skip
MINOR_SHARE: Final = 0.4


def plan(
    rng: np.random.Generator, clips: int, styles: Collection[str] = ()
) -> list[tuple[str, int, Mode]]:
    """(style, tonic, mode) of every clip: styles by weight, keys all equally often.

    styles: only these; empty for all.
    """
    names = [name for name in STYLES if name in styles or not styles]
    weights = np.array([STYLES[name].weight for name in names])
    counts = np.floor(weights / weights.sum() * clips).astype(int)
    while counts.sum() < clips:
        counts[int(rng.integers(len(counts)))] += 1
    drawn = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    keys = [(tonic, mode) for tonic in range(12) for mode in MODES]
    deck = [keys[k] for _ in range(-(-clips // 24)) for k in rng.permutation(24)]
    order = rng.permutation(clips)
    return [(drawn[k], *deck[i]) for i, k in enumerate(order)]


def composed_jobs(
    split: str,
    seed: int,
    clips: int,
    *,
    styles: Collection[str] = (),
    fonts: bool = True,
    new_loops: bool = False,
) -> list[Job]:
    """The clips of a run of composed pieces."""
    rng = np.random.default_rng([seed, zlib.crc32(split.encode())])
    return [
        Job(split, seed, index, *facts, fonts=fonts, new_loops=new_loops)
        for index, facts in enumerate(plan(rng, clips, styles))
    ]


def idiom_jobs(seed: int, clips: int, *, fonts: bool = True) -> list[Job]:
    """The clips of a run of idioms: by weight, one after the other; major or minor as they are."""
    names = [name for name, style in IDIOM_STYLES.items() for _ in range(int(style.weight))]
    order = np.random.default_rng([seed, zlib.crc32(b"idioms")]).permutation(len(names))
    jobs = []
    for index in range(clips):
        rng = np.random.default_rng([seed, zlib.crc32(b"idioms"), index])
        idiom, tonic = names[order[index % len(order)]], int(rng.integers(12))
        mode: Mode = "minor" if rng.random() < MINOR_SHARES[idiom] else "major"
        drums = {
            name: [varied_pattern(rng, pattern, "4/4") for pattern in DEV.drums[name]]
            for name in DRUMMED_AS[idiom]
        }
        jobs.append(Job("dev", seed, index, idiom, tonic, mode, fonts=fonts, drums=drums))
    return jobs


def wanted(clips: int) -> dict[tuple[str, Mode], int]:
    """How many clips of each style and mode."""
    counts: dict[tuple[str, Mode], int] = {}
    for style, share in TUNE_SHARES.items():
        total = round(share * clips)
        counts[style, "minor"] = round(MINOR_SHARE * total)
        counts[style, "major"] = total - counts[style, "minor"]
    counts["tune44", "major"] += clips - sum(counts.values())
    return counts


def dealt(
    sources: Iterable[Source], clips: int, reader: Callable[[Source], Tune | None] = read
) -> list[Tune]:
    """The first tunes of each style and mode that are wanted; where there are too few, they return.

    Reads no more than it needs, since reading takes a tenth of a second.  A style of which there is
    no tune at all gives its share to the others.
    """
    counts = wanted(clips)
    found: dict[tuple[str, Mode], list[Tune]] = {kind: [] for kind in counts}
    for source in sources:
        # A chorale's file must be read to know its key.
        facts = None if source.kind == "chorale" else stated(source.text)
        if facts is None and source.kind != "chorale":
            continue
        if facts is not None and full(found, counts, style_name("tune", facts[0]), facts[2]):
            continue
        tune = reader(source)
        if tune is not None and not full(
            found, counts, style_name(tune.kind, tune.meter), tune.mode
        ):
            found[style_name(tune.kind, tune.meter), tune.mode].append(tune)
    chosen = [
        tune
        for kind, count in counts.items()
        for tune in itertools.islice(itertools.cycle(found[kind]), count)
    ]
    return list(itertools.islice(itertools.cycle(chosen), clips))


def full(
    found: dict[tuple[str, Mode], list[Tune]],
    counts: dict[tuple[str, Mode], int],
    style: str,
    mode: Mode,
) -> bool:
    """Whether no more of a style and mode are wanted."""
    return len(found[style, mode]) >= counts[style, mode]


def tune_jobs(
    seed: int, clips: int, *, fonts: bool = True, sources: list[Source] | None = None
) -> list[Job]:
    """The clips of a run of tunes; raises NoCorpus.  sources: in place of the corpus."""
    rng = np.random.default_rng([seed, zlib.crc32(b"tunes")])
    mine = development(corpus_sources() if sources is None else sources)
    shuffled = (mine[k] for k in rng.permutation(len(mine)))
    tunes = dealt(shuffled, clips)
    if not tunes:
        raise NoCorpus("the corpus that came with music21 has none of the tunes")
    tonics = [int(k) for _ in range(-(-clips // 12)) for k in rng.permutation(12)]
    return [
        Job(
            "dev",
            seed,
            index,
            style_name(tune.kind, tune.meter),
            tonic,
            tune.mode,
            tune,
            fonts=fonts,
        )
        for index, (tonic, tune) in enumerate(
            zip(tonics, (tunes[k] for k in rng.permutation(len(tunes))), strict=False)
        )
    ]
