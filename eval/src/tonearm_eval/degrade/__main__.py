"""Make a folder of degraded excerpts, with their truth, of folders of clips.

    python -m tonearm_eval.degrade DEV/dev31 DEV/loops --seed 71 --clips 300 --out DEV/rough

Every clip that has a key is cut anywhere, 12 to 20 s, on the beat or off it, and suffers one effect
(named as its style), often a second and a third.  The same arguments give the same clips, and the
first clips of a run are the same whatever --clips says; a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from tonearm_eval.degrade.effects import KITS
from tonearm_eval.degrade.excerpts import make


def main() -> None:
    """Make the folder."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.degrade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of clips")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--clips", type=int, help="how many; default: all, once")
    parser.add_argument(
        "--split", choices=sorted(KITS), default="dev",
        help="whose drums, noises and codecs; default: %(default)s",
    )  # fmt: skip
    args = parser.parse_args()
    make(args.folders, args.out, seed=args.seed, clips=args.clips, split=args.split)


if __name__ == "__main__":
    main()
