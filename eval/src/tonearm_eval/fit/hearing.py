"""Let the engine's listeners hear every clip once, so that fitting takes seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

from tonearm_eval.fit.cache import hear_folder


def main() -> None:
    """Hear folders of clips."""
    parser = argparse.ArgumentParser(
        prog="python -m tonearm_eval.fit.hearing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of development clips")
    parser.add_argument(
        "--cache", type=Path, required=True, help="folder for what was heard; a stopped run goes on"
    )
    parser.add_argument(
        "--harmony-only", action="store_true", help="what fit.harmony needs, in a third of the time"
    )
    args = parser.parse_args()
    for folder in args.folders:
        hear_folder(folder, args.cache, harmony_only=args.harmony_only)
        print(folder, flush=True)


if __name__ == "__main__":
    main()
