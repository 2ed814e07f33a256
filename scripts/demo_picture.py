"""Draw docs/demo.svg from what `make demo` really printed.

script -qec "make demo" demo.typescript
.venv/bin/python scripts/demo_picture.py demo.typescript docs/demo.svg
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS = 84
_UP = "\x1b[1A"
_FONTS = re.compile(r"\s*@font-face \{.*?\n\s*\}", re.DOTALL)
_CONTROLS = re.compile(r"\x1b\[\?25[lh]|\x1b\[2K")


def last_frames(recorded: str) -> str:
    """Return the text as it stood at the end: a redrawn block counts once, as drawn last."""
    lines: list[str] = []
    for line in recorded.replace("\r\n", "\n").split("\n"):
        if redrawn := line.count(_UP):
            del lines[-redrawn:]
        lines.append(_CONTROLS.sub("", line.rpartition(_UP)[2].rpartition("\r")[2]))
    return "\n".join(lines)


def main() -> None:
    """Keep the start of the components and everything from the first client command on."""
    recorded = Path(sys.argv[1]).read_bytes().decode("utf-8")
    shown = last_frames(recorded).split("\n")
    ready = [line for line in shown if " ready in " in line]
    client = next(n for n, line in enumerate(shown) if line.startswith("$ tonearm upload"))
    end = next(n for n, line in enumerate(shown) if "the stack stays up" in line)
    told = [line for line in shown[client : end + 1] if "analysing," not in line]
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    for line in ["$ make demo", *ready, "", *told]:
        console.print(Text.from_ansi(line), no_wrap=True, crop=False)
    # The viewer's own monospace font does; the picture must not load anything from elsewhere.
    picture = _FONTS.sub("", console.export_svg(title="make demo"))
    Path(sys.argv[2]).write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
