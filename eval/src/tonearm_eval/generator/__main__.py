"""Generate a folder of clips with exact truth.

    python -m tonearm_eval.generator --split test --clips 320 --seed 7 --out DIR
    python -m tonearm_eval.generator --split dev --styles jig,waltz --clips 40 --jobs 2 --out DIR
    python -m tonearm_eval.generator --split dev --tunes --clips 400 --seed 41 --out DIR
    python -m tonearm_eval.generator --split dev --varied --clips 195 --seed 4041 --out DIR
    python -m tonearm_eval.generator --split dev --drawn --clips 300 --seed 4051 --out DIR
    python -m tonearm_eval.generator --split dev --idioms --clips 400 --seed 71 --out DIR

Writes audio/, beats/ and chords/ files and manifest.csv as it goes; a run that was stopped goes on.
The same arguments and the same soundfonts give the same clips, whatever --jobs.  Without FluidSynth,
or with --synth-only, every clip is played by the built-in synthesiser: other clips.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tonearm_eval.generator import soundfont
from tonearm_eval.generator.clip import MATERIALS, Job, make_clip
from tonearm_eval.generator.drawn import drawn_jobs
from tonearm_eval.generator.jobs import composed_jobs, idiom_jobs, tune_jobs
from tonearm_eval.generator.material import STYLES
from tonearm_eval.generator.tunes import NoCorpus
from tonearm_eval.generator.varied import varied_jobs


def known_rows(manifest: Path) -> list[dict[str, Any]]:
    """Rows of a run that stopped: clips are made in order, so these are the first ones."""
    if not manifest.exists():
        return []
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def made(jobs: list[Job], out: Path, processes: int) -> Iterator[dict[str, Any]]:
    """The rows of the clips, in the jobs' order."""
    make = partial(make_clip, out=out)
    if processes == 1:
        yield from map(make, jobs)
        return
    with get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(make, jobs)


def generate(jobs: list[Job], out: Path, processes: int = 1) -> None:
    """Write the clips and the manifest, which is complete as far as it goes at any time."""
    for folder in ("audio", "beats", "chords"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    manifest = out / "manifest.csv"
    done = known_rows(manifest)[: len(jobs)]
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer: csv.DictWriter[str] | None = None
        rows = (row for part in (done, made(jobs[len(done) :], out, processes)) for row in part)
        for count, row in enumerate(rows, start=1):
            if writer is None:
                writer = csv.DictWriter(file, fieldnames=list(row))
                writer.writeheader()
            writer.writerow(row)
            file.flush()
            if count % 20 == 0:
                print(f"{count}/{len(jobs)}", flush=True)


def styles_named(text: str) -> tuple[str, ...]:
    """ "jig,waltz" -> ("jig", "waltz"); names that are no style are an error."""
    names = tuple(name.strip() for name in text.split(","))
    unknown = [name for name in names if name not in STYLES]
    if unknown:
        known = ", ".join(STYLES)
        raise argparse.ArgumentTypeError(f"no style {', '.join(unknown)}; there are: {known}")
    return names


def positive(text: str) -> int:
    """A whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def arguments() -> argparse.ArgumentParser:
    """What can be said on the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.generator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--split", choices=sorted(MATERIALS), required=True)
    parser.add_argument("--clips", type=positive, default=320, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=20_261_122, help="default: %(default)s")
    parser.add_argument("--out", type=Path, required=True, help="folder to write, made if need be")
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--styles",
        type=styles_named,
        default=(),
        metavar="A,B",
        help="only these styles, by weight",
    )
    what.add_argument(
        "--tunes", action="store_true",
        help="folk tunes and chorales of music21's corpus instead (dev only; needs music21)",
    )  # fmt: skip
    what.add_argument(
        "--varied", action="store_true",
        help="drum patterns vary from clip to clip; more 3/4, 6/8 and other doubtful styles (dev only)",
    )  # fmt: skip
    what.add_argument(
        "--idioms", action="store_true",
        help="blues, riffs, modal vamps, songs that begin away from home, sung and driven (dev only)",
    )  # fmt: skip
    parser.add_argument(
        "--new-loops", action="store_true",
        help="chord loops drawn for each clip in place of the listed ones (dev only)",
    )  # fmt: skip
    parser.add_argument(
        "--drawn", action="store_true",
        help="drum patterns and rhythms drawn for each clip; without --styles half of the clips"
        " are in 6/8 (dev only)",
    )  # fmt: skip
    parser.add_argument("--synth-only", action="store_true", help="use no soundfont")
    parser.add_argument("--jobs", type=positive, default=1, help="processes; default: %(default)s")
    return parser


def planned(args: argparse.Namespace, *, fonts: bool) -> list[Job]:
    """The clips that were asked for; raises NoCorpus."""
    if args.tunes:
        return tune_jobs(args.seed, args.clips, fonts=fonts)
    if args.idioms:
        return idiom_jobs(args.seed, args.clips, fonts=fonts)
    if args.varied:
        return varied_jobs(args.split, args.seed, args.clips, fonts=fonts)
    if args.drawn:
        return drawn_jobs(args.split, args.seed, args.clips, styles=args.styles, fonts=fonts)
    return composed_jobs(
        args.split, args.seed, args.clips,
        styles=args.styles, fonts=fonts, new_loops=args.new_loops,
    )  # fmt: skip


def main() -> None:
    """Generate the clips and the manifest."""
    parser = arguments()
    args = parser.parse_args()
    fonts = not args.synth_only
    missing = [n for n in MATERIALS[args.split].soundfonts if soundfont.find(n) is None]
    if fonts and missing:
        print(
            f"warning: without FluidSynth or the soundfonts {', '.join(missing)} these are not the"
            " clips of eval/README.md",
            file=sys.stderr,
        )
    special = args.tunes or args.varied or args.idioms
    if args.split != "dev" and (special or args.drawn or args.new_loops):
        parser.error(
            "--tunes, --varied, --drawn, --idioms, --new-loops are for development: --split dev"
        )
    if args.drawn + args.new_loops + special > 1:
        parser.error("--drawn, --new-loops and --tunes, --varied, --idioms exclude each other")
    try:
        jobs = planned(args, fonts=fonts)
    except NoCorpus as error:
        parser.error(str(error))
    generate(jobs, args.out, args.jobs)


if __name__ == "__main__":
    main()
