"""Vibrato is read as it was sung, and not found where there is none."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models import vibrato

HOP = 0.01


def trembling(
    seconds: float, hz: float, cents: float, onset_s: float = 0.0, drift: float = 0.0
) -> NDArray[np.float64]:
    """A note in semitones with vibrato from `onset_s` on."""
    t = np.arange(round(seconds / HOP)) * HOP
    depth = cents / 100 * np.clip((t - onset_s) / 0.05, 0, 1)
    return np.asarray(60 + drift * t + depth * np.sin(2 * np.pi * hz * (t - onset_s)))


@pytest.mark.parametrize("hz", [4.5, 5.3, 6.0, 7.2])
@pytest.mark.parametrize("cents", [25.0, 60.0, 120.0])
def test_rate_and_extent_are_those_sung(hz: float, cents: float) -> None:
    found = vibrato.find(trembling(1.5, hz, cents), HOP)

    assert found is not None
    assert found.rate_hz == pytest.approx(hz, abs=0.1)
    assert found.extent_cents == pytest.approx(cents, rel=0.05)
    assert found.regularity > 0.9


def test_a_drifting_note_has_the_same_vibrato() -> None:
    found = vibrato.find(trembling(1.5, 5.5, 50, drift=0.4), HOP)

    assert found is not None
    assert found.rate_hz == pytest.approx(5.5, abs=0.1)
    assert found.extent_cents == pytest.approx(50, rel=0.05)


def test_a_late_vibrato_has_its_delay() -> None:
    found = vibrato.find(trembling(2.0, 5.5, 60, onset_s=0.8), HOP)

    assert found is not None
    assert found.onset_delay_s == pytest.approx(0.82, abs=0.06)
    assert found.extent_cents == pytest.approx(60, rel=0.05)


@pytest.mark.parametrize("hz", [4.5, 6.0, 7.2])
def test_what_the_window_behind_f0_took_is_made_good(hz: float) -> None:
    length = 8  # frames
    window = np.hanning(length + 1)[:-1]
    seen = np.convolve(trembling(2.0, hz, 60), window / window.sum(), "valid")

    found = vibrato.find(seen, HOP, window_s=length * HOP)

    assert found is not None
    assert found.extent_cents == pytest.approx(60, rel=0.05)


def test_without_its_vibrato_a_note_is_straight() -> None:
    straight = vibrato.without(trembling(2.0, 5.5, 80, drift=0.2), HOP)

    settled = (straight - 60 - 0.2 * np.arange(len(straight)) * HOP)[30:]
    assert np.abs(settled).max() < 0.05


def test_steps_are_not_taken_out() -> None:
    steps = np.repeat([60.0, 65.0, 62.0, 67.0, 64.0], 18)

    np.testing.assert_array_equal(vibrato.without(steps, HOP), steps)


def test_an_unsteady_vibrato_is_less_regular() -> None:
    rng = np.random.default_rng(0)
    rate = 5.5 + np.cumsum(rng.standard_normal(200)) * 0.15
    wild = 60 + 0.6 * np.sin(2 * np.pi * np.cumsum(rate) * HOP)

    steady, unsteady = vibrato.find(trembling(2.0, 5.5, 60), HOP), vibrato.find(wild, HOP)

    assert steady is not None
    assert unsteady is None or unsteady.regularity < steady.regularity - 0.1


@pytest.mark.parametrize(
    "note",
    [
        np.full(150, 60.0),
        np.linspace(60, 62, 150),
        60 + 0.1 * np.random.default_rng(0).standard_normal(150),
        trembling(1.5, 5.5, 5),
        trembling(1.5, 2.0, 60),
        trembling(0.4, 5.5, 60),
    ],
    ids=["straight", "slide", "rough", "tiny", "slow", "short"],
)
def test_there_is_none_in_other_notes(note: NDArray[np.float64]) -> None:
    assert vibrato.find(note, HOP) is None
