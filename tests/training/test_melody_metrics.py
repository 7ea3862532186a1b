"""Accuracy counts what Poliner et al. count."""

import numpy as np
import pytest

from training.melody_metrics import accuracy

TRUTH = np.array([0.0, 0.0, 100.0, 100.0, 100.0, 100.0, 200.0, 200.0])


def test_a_perfect_guess_is_perfect() -> None:
    found = accuracy(np.where(TRUTH > 0, TRUTH, 50.0), TRUTH > 0, TRUTH)

    assert (found.overall, found.raw_pitch, found.voicing_recall) == (1, 1, 1)
    assert found.voicing_false_alarm == 0
    assert found.error_cents == pytest.approx(0)


def test_voicing_and_pitch_are_judged_apart() -> None:
    guess = np.array([90.0, 90, 100, 100, 200, 104, 200, 201])
    voiced = np.array([True, False, True, False, True, True, True, True])

    found = accuracy(guess, voiced, TRUTH)

    assert found.raw_pitch == pytest.approx(4 / 6)  # not the octave, not the 68 cents
    assert found.raw_chroma == pytest.approx(5 / 6)
    assert found.voicing_recall == pytest.approx(5 / 6)
    assert found.voicing_false_alarm == pytest.approx(1 / 2)
    assert found.overall == pytest.approx(4 / 8)
