"""The program's entry: runs a command and turns what goes wrong into one line."""

from __future__ import annotations

import sys

from tonearm_cli.app import make_app
from tonearm_cli.errors import EXIT_INTERRUPTED, CliError
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


if __name__ == "__main__":
    main()
