"""What a person at the terminal is told when something does not work: one line, and what to do."""

from __future__ import annotations

from pathlib import Path

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class CliError(Exception):
    """Ends the command with one line on standard error.

    message: what is wrong; hint: what to do about it, or "".
    """

    def __init__(
        self, message: str, *, hint: str = "", code: str = "", exit_code: int = EXIT_FAILURE
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.code, self.exit_code = message, hint, code, exit_code

    def about(self, path: Path) -> CliError:
        """Return the same error with the file in front, where it does not name it already."""
        if self.message.startswith(str(path)):
            return self
        return CliError(f"{path}: {self.message}", hint=self.hint, code=self.code)


class ProblemError(CliError):
    """The server refused, with a problem document (RFC 9457)."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        code: str,
        hint: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status, self.retry_after_s = status, retry_after_s


class Unreachable(CliError):
    """The server does not answer at all."""


class NotLoggedIn(CliError):
    """There are no credentials for the server, or they are no longer good."""

    def __init__(self, message: str = "You are not logged in.") -> None:
        super().__init__(
            message, hint="Run `tonearm login`, or `tonearm register`.", code="not_logged_in"
        )
