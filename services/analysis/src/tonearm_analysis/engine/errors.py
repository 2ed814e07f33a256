"""What the engine raises. Everything derives from `EngineError`."""

from __future__ import annotations

from typing import Final, Literal, get_args

AudioErrorCode = Literal[
    "not_audio",
    "empty",
    "truncated",
    "too_long",
    "too_many_channels",
    "unsupported_codec",
    "unsupported_rate",
    "no_audio_stream",
]

AUDIO_ERROR_CODES: Final[tuple[str, ...]] = get_args(AudioErrorCode)


class EngineError(Exception):
    """Root of the engine's errors."""


class AudioError(EngineError):
    """This recording cannot be analysed, and trying again will not help.

    `code` is stable:
      not_audio          no decoder recognises the bytes
      empty              the file has no bytes, or its audio has no samples
      truncated          a header was found, but nothing behind it decodes
      too_long           longer than `Limits.duration_s_max`
      too_many_channels  more channels than `Limits.channels_max`
      unsupported_codec  an audio stream is there, its codec is not
      unsupported_rate   sample rate outside `Limits.sample_rate_hz_min` .. `_max`
      no_audio_stream    a media file without sound (a silent film, a picture)
    The message is one sentence for a person.
    """

    def __init__(self, code: AudioErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: AudioErrorCode = code

    def __reduce__(self) -> tuple[type[AudioError], tuple[AudioErrorCode, str]]:
        """Pickle with both arguments: the error crosses a process boundary."""
        return AudioError, (self.code, str(self))


class ParameterError(EngineError, ValueError):
    """A parameter has no meaning or lies outside its range; the message names it."""


class StageTimeoutError(EngineError):
    """A stage used more than the time it was given."""
