"""Let the engine's listeners hear every clip once, so that fitting takes seconds."""

from __future__ import annotations

import argparse
from pathlib import Path

from tonearm_eval.fit.cache import hear_folder


def main() -> None:
    """Hear folders of clips."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--cache", type=Path, required=True)
    args = parser.parse_args()
    for folder in args.folders:
        hear_folder(folder, args.cache)
        print(folder, flush=True)


if __name__ == "__main__":
    main()
