"""The judge of song: planted notes are counted as mir_eval counts them, and songs are as told."""

from dataclasses import replace

import numpy as np
import pytest

from models import music
from training import note_metrics, songs
from training.evaluation import singing
from training.evaluation.singing import Said


def tune(count: int = 12, seed: int = 0) -> list[Said]:
    rng = np.random.default_rng(seed)
    starts = np.cumsum(rng.uniform(0.2, 0.6, count))
    return [Said(float(s), float(s + rng.uniform(0.1, 0.2)), rng.uniform(50, 70)) for s in starts]


def moved(notes: list[Said], seed: int = 1) -> list[Said]:
    """Notes as somebody heard them: some late, some off, one twice, one missing."""
    rng = np.random.default_rng(seed)
    heard = [
        replace(
            note,
            start_s=note.start_s + rng.normal(0, 0.03),
            end_s=note.end_s + rng.normal(0, 0.03),
            midi=note.midi + rng.normal(0, 0.3),
        )
        for note in notes
    ]
    return [heard[0], *heard[:-1]]


def test_the_same_notes_are_all_found() -> None:
    found = note_metrics.found(tune(), tune())

    assert (found.precision, found.recall, found.f1) == (1, 1, 1)


def test_nothing_found_is_no_error() -> None:
    assert note_metrics.found(tune(), []).f1 == 0
    assert note_metrics.found([], tune()).f1 == 0


def test_a_note_is_late_after_50_ms_and_off_after_50_cents() -> None:
    note = Said(1.0, 2.0, 60.0)

    def hits(**change: float) -> int:
        return note_metrics.found([note], [replace(note, **change)]).matched

    assert (hits(start_s=1.05), hits(start_s=1.06)) == (1, 0)
    assert (hits(midi=60.49), hits(midi=60.51)) == (1, 0)


def test_a_note_said_twice_is_found_once() -> None:
    note = Said(1.0, 2.0, 60.0)

    found = note_metrics.found([note], [note, note])

    assert (found.matched, found.precision, found.recall) == (1, 0.5, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("offsets", [False, True])
def test_f1_is_that_of_mir_eval(seed: int, offsets: bool) -> None:
    mir_eval = pytest.importorskip("mir_eval")
    truth = tune(seed=seed)
    said = moved(truth, seed + 100)

    ours = note_metrics.found(truth, said, offsets=offsets)

    sides = [
        part
        for notes in (truth, said)
        for part in (
            np.array([(note.start_s, note.end_s) for note in notes]),
            music.midi_to_hz(np.array([note.midi for note in notes])),
        )
    ]
    theirs = mir_eval.transcription.precision_recall_f1_overlap(
        *sides, offset_ratio=0.2 if offsets else None
    )
    assert (ours.precision, ours.recall, ours.f1) == pytest.approx(theirs[:3])


@pytest.mark.parametrize(
    ("said", "score"),
    [("A minor", 1), ("E minor", 0.5), ("C major", 0.3), ("A major", 0.2), ("F minor", 0)],
)
def test_keys_are_scored_by_how_near_they_are(said: str, score: float) -> None:
    assert singing.key_score("A minor", said) == score


def test_rounded_notes_are_the_semitones_that_were_held() -> None:
    f0 = np.concatenate([np.full(20, 440.0), np.zeros(10), np.full(30, 262.0), np.full(5, 300.0)])

    said = singing.rounded(f0, 0.0, 0.01)

    assert [round(note.midi) for note in said] == [69, 60]
    assert [note.start_s for note in said] == pytest.approx([-0.005, 0.295])


@pytest.mark.parametrize("voice", list(songs.RANGES))
def test_a_performance_keeps_its_range_and_sings_what_its_notes_say(voice: str) -> None:
    sung = songs.perform(np.random.default_rng(3), 8.0, voice)
    low, high = songs.RANGES[voice]

    for note in sung.notes:
        part = sung.f0_hz[round(note.start_s * songs.RATE) : round(note.end_s * songs.RATE)]
        held = np.median(music.hz_to_midi(part))
        assert (part > 0).all()
        assert held == pytest.approx(note.midi, abs=0.6 if note.vibrato else 0.4)
        assert low * 0.9 < music.midi_to_hz(note.midi) < high * 1.1


def test_notes_follow_one_another_and_unvoiced_consonants_are_silent() -> None:
    sung = songs.perform(np.random.default_rng(4), 15.0)

    for before, after in zip(sung.notes, sung.notes[1:], strict=False):
        assert before.start_s < before.end_s <= after.start_s
        if after.join in ("rest", "consonant"):
            middle = round((before.end_s + after.start_s) / 2 * songs.RATE)
            assert sung.f0_hz[middle] == 0


def test_the_same_seed_is_the_same_song() -> None:
    one, two = (songs.synthesised(np.random.default_rng(5), 3.0, "alto") for _ in range(2))

    assert one.sung.notes == two.sung.notes
    np.testing.assert_array_equal(one.audio.samples, two.audio.samples)
