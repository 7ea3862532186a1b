"""Accuracy counts what Poliner et al. count, and as mir_eval does."""

import numpy as np
import pytest

from training.melody_metrics import NOTHING, accuracy, tally

TRUTH = np.array([0.0, 0.0, 100.0, 100.0, 100.0, 100.0, 200.0, 200.0])
GUESS = np.array([90.0, 90, 100, 100, 200, 104, 200, 201])
VOICED = np.array([True, False, True, False, True, True, True, True])


def test_a_perfect_guess_is_perfect() -> None:
    found = accuracy(np.where(TRUTH > 0, TRUTH, 50.0), TRUTH > 0, TRUTH)

    assert (found.overall, found.raw_pitch, found.voicing_recall) == (1, 1, 1)
    assert (found.voicing_false_alarm, found.octave_errors) == (0, 0)
    assert found.error_cents == pytest.approx(0)


def test_voicing_and_pitch_are_judged_apart() -> None:
    found = accuracy(GUESS, VOICED, TRUTH)

    assert found.raw_pitch == pytest.approx(4 / 6)  # not the octave, not the 68 cents
    assert found.raw_chroma == pytest.approx(5 / 6)
    assert found.voicing_recall == pytest.approx(5 / 6)
    assert found.voicing_false_alarm == pytest.approx(1 / 2)
    assert found.overall == pytest.approx(4 / 8)
    assert found.octave_errors == pytest.approx(1 / 5)  # of the five voiced in both
    assert found.error_cents == pytest.approx(1200 * np.log2(201 / 200))  # the third of five


def test_a_frame_nobody_knows_does_not_count() -> None:
    doubtful = np.r_[TRUTH, np.nan, np.nan]

    found = accuracy(np.r_[GUESS, 50.0, 100.0], np.r_[VOICED, True, False], doubtful)

    assert found == accuracy(GUESS, VOICED, TRUTH)


def test_no_guess_is_wrong_only_where_there_is_a_voice() -> None:
    found = accuracy(np.zeros(8), np.zeros(8, bool), TRUTH)

    assert (found.raw_pitch, found.raw_chroma, found.overall) == (0, 0, 2 / 8)
    assert np.isnan(found.error_cents)


def test_tallies_of_takes_add_up() -> None:
    whole = tally(GUESS, VOICED, TRUTH)

    parts = [tally(GUESS[part], VOICED[part], TRUTH[part]) for part in (np.s_[:3], np.s_[3:])]

    assert sum(parts, NOTHING) == whole


def test_the_measures_are_those_of_mir_eval() -> None:
    melody = pytest.importorskip("mir_eval.melody")
    rng = np.random.default_rng(0)
    truth = np.where(rng.random(2000) < 0.6, rng.uniform(60, 900, 2000), 0.0)
    shift = rng.choice([0, 0, 0, 1200, -1200, 2400, 300], 2000) + rng.normal(0, 40, 2000)
    guess = np.where(truth > 0, truth, 120.0) * 2 ** (shift / 1200)
    guess[rng.random(2000) < 0.1] = 0.0
    voiced = (rng.random(2000) < 0.6) & (guess > 0)

    found = accuracy(guess, voiced, truth)
    cents = [melody.hz2cents(hz) for hz in (truth, guess)]
    given = [(truth > 0).astype(float), cents[0], voiced.astype(float), cents[1]]

    assert found.raw_pitch == pytest.approx(melody.raw_pitch_accuracy(*given))
    assert found.raw_chroma == pytest.approx(melody.raw_chroma_accuracy(*given))
    assert found.overall == pytest.approx(melody.overall_accuracy(*given))
    assert found.voicing_recall == pytest.approx(melody.voicing_recall(given[0], given[2]))
    assert found.voicing_false_alarm == pytest.approx(
        melody.voicing_false_alarm(given[0], given[2])
    )
