"""Two channels: results on standard output, everything else on standard error.

With `--json` standard output carries JSON documents, one a line, and nothing else.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tonearm_cli.errors import CliError


_PIPE_COLUMNS = 120


class Output:
    """Where a command speaks to."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    @cached_property
    def out(self) -> Console:
        """The console of results."""
        from rich.console import Console

        # What goes into a file or a pipe is not cut to the width of a terminal.
        return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_COLUMNS)

    @cached_property
    def err(self) -> Console:
        """The console of progress and errors."""
        from rich.console import Console

        return Console(stderr=True, highlight=False)

    def result(self, document: Mapping[str, Any], shown: RenderableType | None = None) -> None:
        """Give the result: the document with `--json`, otherwise what people read."""
        if self.as_json:
            sys.stdout.write(json.dumps(document, ensure_ascii=False, sort_keys=True) + "\n")
            sys.stdout.flush()
        elif shown is not None:
            self.out.print(shown, markup=False)

    def done(self, document: Mapping[str, Any], sentence: str) -> None:
        """Give a result that is one sentence."""
        if self.as_json:
            self.result(document)
        else:
            self.out.print("[green]✓[/]", end=" ")
            self.out.print(sentence, markup=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """Say something in passing; silent with `--json`."""
        if not self.as_json:
            self.err.print(text, soft_wrap=True)  # a command in it can be copied whole

    def error(self, error: CliError) -> None:
        """Say in one line what is wrong and what to do."""
        from rich.text import Text

        line = Text("Error: ", style="bold red").append(error.message, style="default")
        if error.hint:
            line.append("  ").append(error.hint, style="dim")
        self.err.print(line, soft_wrap=True)
