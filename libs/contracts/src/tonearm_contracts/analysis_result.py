"""What the engine says of one recording: the stored result and its parts.

Conventions, once for all fields: times are seconds from the first decoded sample (encoder
delay already removed); names end in their unit (`_s`, `_hz`, `_db`, `_bpm`, `_cents`); a
probability or confidence lies in 0-1; None means that the engine answers "none" (silence has
no loudness, noise has no key), never that it forgot. Numbers are rounded to the precision that
`tonearm_analysis.engine.rounding` states, so equal input gives equal text.

Fields only get added. Readers ignore names they do not know.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from tonearm_contracts.events.job import AnalysisSummary


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Stats(_Part):
    """Distribution of a value over the frames of a recording."""

    mean: float
    sd: float
    """Standard deviation (population)."""
    p5: float
    p25: float
    p50: float
    p75: float
    p95: float
    """Percentiles with linear interpolation; of evenly thinned frames in very long recordings."""


class Span(_Part):
    """A stretch of time."""

    start_s: float
    end_s: float


class Properties(_Part):
    """What was decoded, and by what."""

    duration_s: float
    """Decoded frames / sample rate."""
    frames: int
    """Samples per channel."""
    sample_rate_hz: int
    channels: int
    format: str
    """Container, lower case: `wav`, `mp3`, `flac`, `ogg`, `mp4`, ..."""
    codec: str
    """`pcm_16`, `flac`, `alac`, `mpeg_layer_iii`, `vorbis`, `opus`, `aac`, ..."""
    bit_depth: int | None
    """Bits per sample of lossless material; None for lossy codecs."""
    bitrate_bps: int | None
    """Mean over the whole file, container included; None where the size is unknown."""
    size_bytes: int | None
    lossless: bool
    decoder: str
    """`libsndfile` or `ffmpeg`."""
    truncated: bool
    """The file ends before its header says; what decodes was analysed."""
    non_finite_samples: int
    """NaN, infinite and absurd (beyond a million) samples found; they count as zero."""
    warnings: tuple[str, ...]
    pcm_sha256: str
    """Of the decoded samples: see `tonearm_analysis.engine.identity`."""


class WaveformLevel(_Part):
    """One zoom of the display waveform: the extremes over all channels per point."""

    points: int
    seconds_per_point: float
    minima: tuple[int, ...]
    """-127..127, where 127 is full scale; louder is held at the end of the range."""
    maxima: tuple[int, ...]


class Waveform(_Part):
    """Peaks for display, coarse to fine."""

    levels: tuple[WaveformLevel, ...]


class Curve(_Part):
    """A value sampled at a steady pace."""

    start_s: float
    """Time of the first value (the end of its measuring window)."""
    hop_s: float
    values: tuple[float | None, ...]
    """The highest measurement within each hop; None where it is below -70 LUFS."""


class Clipping(_Part):
    """A stretch where a channel stays at its ceiling."""

    start_s: float
    end_s: float
    channel: int


class Stereo(_Part):
    """How the first two channels relate; None values where a channel is silent."""

    correlation: float | None
    """Pearson, -1..1; 1 is mono, 0 unrelated, -1 out of phase."""
    width: float | None
    """Side energy / (mid + side energy): 0 mono, 0.5 unrelated channels, 1 out of phase."""
    balance_db: float | None
    """Level of the left channel over the right one."""


class Verdict(_Part):
    """How the recording fares against a delivery profile."""

    profile: str
    passes: bool
    target_lufs: float
    gain_db: float
    """Gain that brings the recording to the target."""
    true_peak_after_dbtp: float | None
    """True peak once that gain is applied."""
    reasons: tuple[str, ...]
    """Why it does not pass; empty when it does."""


class Loudness(_Part):
    """Loudness and dynamics by ITU-R BS.1770-4, EBU R128, Tech 3341 and Tech 3342."""

    integrated_lufs: float | None
    """Gated at -70 LUFS and -10 LU; None below the absolute gate."""
    range_lu: float | None
    """LRA: 95th - 10th percentile of short-term loudness above -70 LUFS and -20 LU."""
    momentary_max_lufs: float | None
    """400 ms window."""
    short_term_max_lufs: float | None
    """3 s window."""
    momentary: Curve
    short_term: Curve
    true_peak_dbtp: float | None
    """Highest peak of any channel after oversampling to at least 176.4 kHz."""
    sample_peak_dbfs: float | None
    true_peak_channels_dbtp: tuple[float | None, ...]
    plr_db: float | None
    """Peak to loudness ratio: true peak - integrated loudness."""
    rms_dbfs: float | None
    """Unweighted mean square of all channels; 0 dBFS is a full-scale square wave."""
    dynamic_complexity_db: float | None
    """Mean absolute deviation of short-term loudness from integrated loudness."""
    clipped_samples: int
    clipping: tuple[Clipping, ...]
    """Runs of at least 3 samples at the ceiling, joined within 10 ms; the first 200."""
    silences: tuple[Span, ...]
    """Stretches of at least 0.5 s below -60 dBFS; the first 200."""
    silence_share: float
    lead_in_s: float
    """Silence before the first sound; the whole duration for a silent recording."""
    lead_out_s: float
    fade_in_end_s: float | None
    """End of a fade-in; None without one."""
    fade_out_start_s: float | None
    dc_offset: tuple[float, ...]
    """Mean sample value per channel, -1..1."""
    stereo: Stereo | None
    """None for fewer than two channels."""
    verdicts: tuple[Verdict, ...]


class BandEnergy(_Part):
    """Share of the spectral energy within a band."""

    name: str
    low_hz: float
    high_hz: float
    share: Stats


class Spectral(_Part):
    """Short-time spectral description of the mono mix; librosa's definitions and defaults.

    Frames of `frame_length` samples every `hop_length` samples at `sample_rate_hz`, centred,
    Hann window: what `librosa.load` and `librosa.feature` give with their defaults.
    """

    sample_rate_hz: int
    frame_length: int
    hop_length: int
    frames: int
    """How many were measured: all in profile `full`, about a quarter in `fast`."""
    centroid_hz: Stats
    bandwidth_hz: Stats
    rolloff_hz: Stats
    """Frequency below which 85 % of the magnitude lies."""
    flatness: Stats
    flux: Stats
    """Half-wave rectified rise of the log-mel spectrum per frame, dB."""
    zero_crossing_rate: Stats
    rms: Stats
    contrast_db: tuple[Stats, ...]
    """Octave bands from 200 Hz, 7 values."""
    mfcc: tuple[Stats, ...]
    """20 coefficients of the 128-band mel spectrum in dB."""
    band_energies: tuple[BandEnergy, ...]
    """20-150, 150-800, 800-4000 and 4000-20000 Hz, measured at the recording's own rate."""
    cutoff_hz: float | None
    """Frequency above which there is practically nothing: a lossy ancestor shows here."""
    energy: float
    """Perceived intensity 0-1 from loudness, brightness, density and steadiness."""


class TempoCandidate(_Part):
    """A tempo that a listener may tap."""

    bpm: float
    probability: float
    relation: str
    """To the winner: `same`, `half`, `double`, `2:3`, `3:2`, `third`, `triple`, `other`."""


class TempoPoint(_Part):
    """Tempo around one moment."""

    time_s: float
    bpm: float


class Rhythm(_Part):
    """Tempo, beats and meter."""

    tempo_bpm: float | None
    confidence: float
    candidates: tuple[TempoCandidate, ...] = ()
    beats_s: tuple[float, ...] = ()
    """Strictly increasing."""
    beat_positions: tuple[int, ...] = ()
    """Position of each beat in its bar, from 1."""
    downbeats_s: tuple[float, ...] = ()
    meter: str | None = None
    """`4/4`, `3/4`, `6/8`, ..."""
    meter_confidence: float | None = None
    beat_confidence: float | None = None
    """Expected F-measure of the beats at 70 ms."""
    tempo_curve: tuple[TempoPoint, ...] = ()
    stability: float | None = None
    """1 for a steady grid, towards 0 with wandering beats."""
    onset_rate_hz: float | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)


class KeyCandidate(_Part):
    """A key that fits."""

    key: str
    """Tonic and mode: `F# minor`."""
    tonic: str
    mode: str
    probability: float
    camelot: str
    open_key: str
    relation: str
    """To the winner: `same`, `relative`, `parallel`, `fifth`, `other`."""


class Chord(_Part):
    """One chord of the sequence."""

    start_s: float
    end_s: float
    label: str
    """`C`, `A:min`, ...; `N` where no chord sounds."""
    confidence: float


class KeySegment(_Part):
    """A stretch that stays in one key."""

    start_s: float
    end_s: float
    key: str | None
    confidence: float


class Harmony(_Part):
    """Key, tuning and chords."""

    key: str | None
    confidence: float
    candidates: tuple[KeyCandidate, ...] = ()
    camelot: str | None = None
    open_key: str | None = None
    tuning_cents: float | None = None
    """Deviation from A4 = 440 Hz, -50..50."""
    chords: tuple[Chord, ...] = ()
    chord_vocabulary: tuple[str, ...] = ()
    key_segments: tuple[KeySegment, ...] = ()
    chroma: tuple[float, ...] = ()
    """Twelve shares from C upwards, the greatest is 1."""
    evidence: dict[str, Any] = Field(default_factory=dict)


class AnalysisResult(_Part):
    """Everything about one recording. Equal bytes, engine and parameters give equal JSON."""

    result_id: str
    """SHA-256 of (decoded PCM hash, engine version, parameters)."""
    engine_version: str
    parameters: dict[str, Any]
    pcm_sha256: str
    """Of the decoded samples: see `tonearm_analysis.engine.identity`."""
    properties: Properties | None = None
    waveform: Waveform | None = None
    loudness: Loudness | None = None
    spectral: Spectral | None = None
    rhythm: Rhythm | None = None
    harmony: Harmony | None = None
    errors: dict[str, str] = Field(default_factory=dict)
    """Stage name -> why it has no result."""
    timings_s: dict[str, float] = Field(default_factory=dict, exclude=True)
    """Seconds per stage of this run. Not part of the JSON: it differs from run to run."""

    def canonical_json(self) -> str:
        """Return the JSON that two runs share to the byte."""
        return self.model_dump_json()

    def summary(self) -> AnalysisSummary:
        """Return the few numbers that lists show."""
        rhythm, harmony = self.rhythm, self.harmony
        return AnalysisSummary(
            duration_s=self.properties.duration_s if self.properties else 0.0,
            tempo_bpm=rhythm.tempo_bpm if rhythm else None,
            tempo_confidence=rhythm.confidence if rhythm else None,
            key=harmony.key if harmony else None,
            key_confidence=harmony.confidence if harmony else None,
            loudness_lufs=self.loudness.integrated_lufs if self.loudness else None,
            meter=rhythm.meter if rhythm else None,
        )
