"""The program's entry: runs a command and turns what goes wrong into one line."""

from __future__ import annotations

import os
import sys

from tonearm_cli.app import make_app
from tonearm_cli.errors import EXIT_FAILURE, EXIT_INTERRUPTED, CliError
from tonearm_cli.output import Output


def main() -> None:
    """Run the command that the arguments name; exit 0, 1 for a failure, 2 for wrong usage."""
    try:
        make_app()()
    except CliError as error:
        Output(as_json=False).error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:  # a full disk, a folder that may not be written to
        name = f"{error.filename}: " if error.filename else ""
        Output(as_json=False).error(CliError(f"{name}{error.strerror or error}."))
        _drop_output()
        sys.exit(EXIT_FAILURE)


def _drop_output() -> None:
    """Send what is still buffered nowhere: the interpreter would fail on it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
