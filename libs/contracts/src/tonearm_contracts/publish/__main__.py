"""`python -m tonearm_contracts.publish check|write`, run at the root of the repository."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tonearm_contracts import events
from tonearm_contracts.publish import asyncapi, html, schemas

MEMBER = Path("libs/contracts")


def rendered(root: Path) -> dict[Path, str]:
    """Return the generated documents by the file that holds them."""
    document = asyncapi.document(root / MEMBER / "samples")
    return {
        root / MEMBER / "asyncapi.json": schemas.as_text(document),
        root / "docs" / "events.html": html.render(document),
    }


def broken(root: Path) -> list[str]:
    """Return every way in which the models break what was published."""
    folder = root / MEMBER / "schemas"
    lines = [line for event in events.ALL for line in schemas.problems(folder, event)]
    return lines + [f"{name} was published and is gone" for name in schemas.orphans(folder)]


def outdated(root: Path) -> list[str]:
    """Return the committed files that are not what the models say."""
    missing = [event.TYPE for event in schemas.unpublished(root / MEMBER / "schemas")]
    stale = [
        str(file.relative_to(root))
        for file, text in rendered(root).items()
        if not file.is_file() or file.read_text(encoding="utf-8") != text
    ]
    return [f"schema of {name}" for name in missing] + stale


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tonearm_contracts.publish")
    parser.add_argument("command", choices=["check", "write"])
    parser.add_argument("--root", type=Path, default=Path(), help="root of the repository")
    options = parser.parse_args(arguments)
    lines = broken(options.root)
    if lines:
        sys.stderr.write("\n".join([*lines, "make a new version beside the old one", ""]))
        return 1
    if options.command == "check":
        lines = [f"out of date: {each}; run `publish write`" for each in outdated(options.root)]
        sys.stderr.write("".join(f"{line}\n" for line in lines))
        return 1 if lines else 0
    for file in schemas.write(options.root / MEMBER / "schemas"):
        sys.stdout.write(f"{file}\n")
    for file, text in rendered(options.root).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
