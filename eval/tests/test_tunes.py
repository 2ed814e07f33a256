"""Tunes: the half that development owns, keys and meters as stated, and beats where they sound."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tonearm_eval.clips import read_manifest
from tonearm_eval.generator import arrange, jobs, tunes
from tonearm_eval.generator.__main__ import generate, main
from tonearm_eval.generator.clip import Job
from tonearm_eval.generator.harmonise import harmonised
from tonearm_eval.generator.material import DEV
from tonearm_eval.generator.material_held_out import TEST
from tonearm_eval.generator.piece import BAR_QUARTERS, BEAT_QUARTERS, Meter, Note, Piece
from tonearm_eval.generator.synth import SAMPLE_RATE_HZ, render
from tonearm_eval.generator.tunes import Sounding, Source, Tune

SCALE = (0, 2, 4, 5, 7, 9, 11, 12)


def scale_tune(meter: Meter, *, pickup: float, kind: str = "tune") -> Tune:
    """Eight bars of one note a beat, up and down a scale of D major, with a pickup of one note."""
    beat, bar = BEAT_QUARTERS[meter], BAR_QUARTERS[meter]
    count = round(8 * bar / beat)
    notes = [Sounding(k * beat, beat, 62 + SCALE[k % 8]) for k in range(count)]
    if pickup:
        last = notes.pop()
        notes.append(last._replace(length=beat - pickup))
        notes.insert(0, Sounding(-pickup, pickup, 69))
    voices = (tuple(notes),) * (4 if kind == "chorale" else 1)
    return Tune("book/scale#1", kind, meter, 2, "major", voices, pickup, 8 * bar)


def source(name: str, title: str = "", text: str = "M:6/8\nK:G\n") -> Source:
    return Source(name, "tune", title or name, text)


def names(*, owned: bool, count: int) -> list[str]:
    numbered = (f"book/file.abc#{k}" for k in itertools.count(1))
    return list(itertools.islice((n for n in numbered if tunes.owned(n) == owned), count))


def test_no_piece_is_of_both_halves_and_each_has_its_own_for_good() -> None:
    assert tunes.owned("bach/bwv1.6.mxl") is False
    assert tunes.owned("oneills1850/0101-0200.abc#153") is True
    mine, others = names(owned=True, count=20), names(owned=False, count=20)
    chosen = tunes.development([source(name) for name in mine + others])
    assert [piece.name for piece in chosen] == mine


def test_a_tune_that_the_other_half_prints_too_is_left_out() -> None:
    (mine, second), (other,) = names(owned=True, count=2), names(owned=False, count=1)
    title, again = (
        tunes.words("The Frost is All Over -- Jig"),
        tunes.words("Frost Is All Over, The"),
    )
    assert title == again
    pieces = [source(mine, title), source(second, "another"), source(other, again)]
    assert [piece.name for piece in tunes.development(pieces)] == [second]


def test_two_pieces_of_one_name_are_both_left_out() -> None:
    (mine,) = names(owned=True, count=1)
    assert tunes.development([source(mine, "a"), source(mine, "b")]) == []


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ("M:6/8\nK:Em", ("6/8", 4, "minor")),
        ("M: C|\nK: Bb", ("4/4", 10, "major")),
        ("M:C\nK:A Minor", ("4/4", 9, "minor")),
        ("M:3/4\nK:F#m % two flats printed", ("3/4", 6, "minor")),
        ("M:3/4\nK:DMaj", ("3/4", 2, "major")),
        ("M:3/4\nK:Ador", None),
        ("M:3/4\nK:D Mixolydian", None),
        ("M:2/4\nK:D", None),
        ("M:9/8\nK:D", None),
        ("K:D", None),
        ("M:6/8\nK:D\nAB [K:G] c", None),
        ("M:6/8\nK:D\nAB\nM:9/8\nc", None),
    ],
)
def test_key_and_meter_are_as_stated_or_the_tune_is_not_played(
    fields: str, facts: tuple[str, int, str] | None
) -> None:
    assert tunes.stated(f"X:1\nT:Any\n{fields}\nA2B2|\n") == facts


def test_a_book_is_read_tune_by_tune() -> None:
    text = "% a book\n\nX: 7\nT:The Other Reel\nK:D\nAB|\n\nX:08\nT:This\nK:G\nGA|\n"
    first, second = tunes.book_sources("book", "f.abc", text)
    assert (first.name, first.title) == ("book/f.abc#7", "other")
    assert second.name == "book/f.abc#08"
    assert "GA|" in second.text
    assert "AB|" not in second.text


def test_the_first_downbeat_follows_the_pickup() -> None:
    whole = [(1.0 + 4 * k, 4.0) for k in range(8)]
    assert tunes.first_downbeat([(0.0, 1.0), *whole, (33.0, 3.0)], 4.0) == 1.0
    made_up = [*whole, (33.0, 3.0), (36.0, 1.0), *[(37.0 + 4 * k, 4.0) for k in range(4)]]
    assert tunes.first_downbeat(made_up, 4.0) == 1.0


def test_bars_that_do_not_add_up_have_no_downbeat() -> None:
    whole = [(4.0 * k, 4.0) for k in range(8)]
    assert tunes.first_downbeat([*whole, (32.0, 3.0), (35.0, 4.0)], 4.0) is None
    assert tunes.first_downbeat([*whole, (32.0, 5.0)], 4.0) is None
    assert tunes.first_downbeat(whole[:7], 4.0) is None


def test_an_excerpt_begins_at_its_bar_and_goes_round_with_its_pickup() -> None:
    tune = scale_tune("3/4", pickup=1.0)
    (voice,) = tune.voices
    whole = arrange.excerpt(voice, tune, 0, 9)
    assert whole[0].start == -1.0
    assert [note.start for note in whole if note.pitch == 69 and note.length == 1.0][:2] == [-1, 4]
    middle = arrange.excerpt(voice, tune, 7, 3)
    assert middle[0].start == 0.0
    assert max(note.start for note in middle) < 9.0
    assert [n.start for n in middle if n.start == 2.0 and n.pitch == 69] == [2.0]


def arranged(meter: Meter, *, pickup: float, kind: str = "tune", seed: int = 0) -> Piece:
    return arrange.arrange(
        np.random.default_rng(seed), scale_tune(meter, pickup=pickup, kind=kind), DEV,
        tonic=7, tempo_bpm=(100.0, 100.0), duration_s=12.0, midi=False,
    )  # fmt: skip


@pytest.mark.parametrize(("meter", "pickup"), [("4/4", 0.5), ("3/4", 0.5), ("6/8", 0.0)])
def test_every_note_of_a_tune_sounds_at_a_stated_beat(meter: Meter, pickup: float) -> None:
    piece = arranged(meter, pickup=pickup)
    lead = piece.parts[0]
    beats = [t for t, _ in piece.beats(12.0)]
    starts = piece.tempo.seconds([note.start for note in lead.notes if note.length > pickup])
    heard = [t for t in starts if t < 11.9]
    assert len(heard) > 10
    assert max(min(abs(t - beat) for beat in beats) for t in heard) < 1e-9
    assert np.diff(beats) == pytest.approx(0.6)


def test_sound_begins_where_the_beats_say() -> None:
    piece = arranged("4/4", pickup=1.0, seed=4)
    piano = piece.parts[0].__class__("lead", "piano", piece.parts[0].notes)
    alone = Piece("tune44", 7, "major", piece.tempo, [], [piano], pickup=piece.pickup)
    sound = np.abs(render(alone, 12.0, rng=np.random.default_rng(0))[:, 0])
    (first, number), (second, following) = alone.beats(12.0)[:2]
    assert (number, following) == ((4, 1) if piece.pickup else (1, 2))
    onset = int(np.flatnonzero(sound > 0.01)[0]) / SAMPLE_RATE_HZ
    assert onset == pytest.approx(first, abs=0.005)
    at = round(second * SAMPLE_RATE_HZ)
    before, after = sound[at - 882 : at - 88].max(), sound[at : at + 882].max()
    assert after > 1.5 * before


def test_chords_are_told_only_where_they_are_written() -> None:
    manners = {}
    for seed in range(30):
        piece = arranged("6/8", pickup=0.5, seed=seed)
        manners[piece.traits["manner"]] = bool(piece.chords)
    assert manners == {"alone": False, "alone+drums": False, "band": True, "band+drums": True}
    assert not arranged("4/4", pickup=0.0, kind="chorale").chords


def test_a_chorale_keeps_its_voices_and_turns_to_the_key() -> None:
    piece = arranged("3/4", pickup=1.0, kind="chorale")
    assert [part.role for part in piece.parts[:4]] == ["lead", "chords", "chords", "bass"]
    assert {note.pitch % 12 for note in piece.parts[1].notes} <= {(7 + s) % 12 for s in SCALE}


def test_a_tune_is_harmonised_in_its_key() -> None:
    cadence = [Note(k, 1.0, pitch, 90) for k, pitch in enumerate((60, 64, 67, 64, 62, 67, 71, 62))]
    cadence += [Note(8, 4.0, 60, 90)]
    spans = harmonised(
        np.random.default_rng(3), cadence, meter="4/4", tonic=0, mode="major", bars=3, step=4.0
    )
    assert [(span.root, span.quality[:3]) for span in spans[::2]] == [(0, "maj"), (0, "maj")]
    assert spans[1].root == 7
    assert sum(span.length for span in spans) == 12.0


def test_tunes_share_no_sound_or_drum_pattern_with_the_test_split() -> None:
    sounds = TEST.sounds
    midi = {*sounds.midi_lead, *sounds.midi_chords, *sounds.midi_bass}
    built_in = {*sounds.lead, *sounds.chords, *sounds.bass}
    for players in (arrange.players(DEV, midi=True), arrange.players(DEV, midi=False)):
        used = {
            *players.leads,
            *players.chords,
            *players.basses,
            *itertools.chain(*players.ensembles),
        }
        assert not used & ({str(program) for program in midi} | built_in)
    theirs = [pattern for patterns in TEST.drums.values() for pattern in patterns]
    assert all(pattern not in theirs for patterns in arrange.DRUMS.values() for pattern in patterns)


def test_styles_modes_and_clips_are_dealt_as_wanted() -> None:
    def reader(piece: Source) -> Tune:
        return scale_tune("6/8", pickup=0.0)

    reads = jobs.dealt([source(f"book/f.abc#{k}") for k in range(50)], 20, reader)
    assert len(reads) == 20
    assert sum(jobs.wanted(400).values()) == 400
    assert jobs.wanted(400)["tune68", "major"] == 72


def test_the_same_job_gives_the_same_clip(tmp_path: Path) -> None:
    tune = scale_tune("6/8", pickup=0.5)
    work = [Job("dev", 9, 0, "tune68", 4, "major", tune, fonts=False)]
    for attempt in ("first", "again"):
        generate(work, tmp_path / attempt)
    first, again = (
        sorted(p for p in (tmp_path / attempt).rglob("*.*")) for attempt in ("first", "again")
    )
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    (clip,) = read_manifest(tmp_path / "again")
    assert (clip.key, clip.meter, clip.style) == (4, "6/8", "tune68")


def test_without_music21_the_command_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(tunes, "import_module", missing)
    command = ["generator", "--split", "dev", "--tunes", "--synth-only", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        main()
    assert "music21" in capsys.readouterr().err


def test_the_test_split_has_no_tunes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        "sys.argv", ["generator", "--split", "test", "--tunes", "--out", str(tmp_path)]
    )
    with pytest.raises(SystemExit):
        main()
