"""Evidence is joined by its sureness, and the 0-100 measure follows what it is made of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import recording
from models.recording import Estimate, intelligible, joined

RATIOS = st.floats(-20, 80)
SHARES = st.floats(0, 1)
EDGES = st.floats(100, 8000)


def test_the_surer_estimate_counts_more() -> None:
    both = joined([Estimate(10.0, 1.0), Estimate(20.0, 3.0)])

    assert both.value == pytest.approx(11.0)
    assert both.error < 1.0


def test_within_is_the_chance_of_a_normal_error() -> None:
    assert Estimate(0.0, 1.0).within(1.0) == pytest.approx(0.683, abs=0.001)
    assert Estimate(0.0, 1.0).within(2.0) > Estimate(0.0, 2.0).within(2.0)


def test_digital_silence_at_the_ends_is_left_out() -> None:
    sound = np.sin(np.arange(3200))
    padded = np.concatenate([np.zeros(1600), sound, np.zeros(800)])

    for offset in (0.0, 0.1):
        first, last = recording.ends(padded + offset)
        assert first == 1600
        assert last == pytest.approx(4800, abs=1)
    assert recording.ends(np.zeros(100)) == (0, 100)
    assert recording.ends(np.zeros(0)) == (0, 0)


@given(RATIOS, RATIOS, SHARES, EDGES, st.floats(0, 1), st.integers(0, 3))
def test_more_of_one_degradation_never_raises_it(
    snr: float, c50: float, clipped: float, hz: float, more: float, which: int
) -> None:
    worse = [snr, c50, clipped, hz]
    worse[which] += more * (1 - clipped) if which == 2 else -more * 90

    assert intelligible(*worse) <= intelligible(snr, c50, clipped, hz)
    assert 0 <= intelligible(snr, c50, clipped, hz) <= 100


def test_the_ends_of_the_scale() -> None:
    assert intelligible(40, 30, 0.0, 8000) == pytest.approx(100)
    assert intelligible(-15, 30, 0.0, 8000) < 1
    assert 75 < intelligible(40, 30, 0.0, 3400) < 95  # a telephone
