"""Glottal cycles against a voice whose pulses are known, and against Praat's."""

import numpy as np
import pytest

from models import periods, perturbation
from tests import praat
from training import synthesis
from training.synthesis import Voice


def found_in(sung: synthesis.Sung) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    samples = sung.audio.samples.astype(np.float64)
    f0 = np.where(sung.f0_hz > 0, sung.f0_hz, np.nan)
    return periods.find([samples], [f0], hop=160.0, rate=16_000)[0]


def test_every_glottal_pulse_is_found_once() -> None:
    sung = synthesis.sing(synthesis.glide(2.0, 110, 220))

    pulses = found_in(sung)

    assert abs(len(pulses) - len(sung.pulses_s)) <= 2
    truth = np.diff(sung.pulses_s)[5:-5]
    assert np.median(np.abs(np.diff(pulses)[5 : 5 + len(truth)] / 16_000 - truth)) < 2e-5


@pytest.mark.parametrize("hz", [110, 220, 440])
def test_a_steady_voice_has_no_jitter_and_no_shimmer(hz: float) -> None:
    sung = synthesis.sing(synthesis.contour(2.0, hz))

    pulses = found_in(sung)

    assert perturbation.jitter(pulses, 16_000)["local"].value < 1e-3
    shimmer = perturbation.shimmer(sung.audio.samples.astype(np.float64), pulses, 16_000)
    assert shimmer["local"].value < 5e-3


@pytest.mark.parametrize(("hz", "jitter", "shimmer"), [(120, 0.005, 0.02), (220, 0.01, 0.05)])
def test_planted_perturbations_are_measured_as_near_the_truth_as_by_praat(
    hz: float, jitter: float, shimmer: float
) -> None:
    sung = synthesis.sing(synthesis.contour(3.0, hz), Voice(jitter=jitter, shimmer=shimmer))
    samples = sung.audio.samples.astype(np.float64)
    spans, loud = np.diff(sung.pulses_s), sung.amplitudes
    truth = np.abs(np.diff(spans)).mean() / spans.mean(), np.abs(np.diff(loud)).mean() / loud.mean()

    pulses = found_in(sung)
    ours = (
        perturbation.jitter(pulses, 16_000)["local"].value,
        perturbation.shimmer(samples, pulses, 16_000)["local"].value,
    )

    theirs = praat.report(samples)
    for mine, peer, true in zip(ours, ("jitter_local", "shimmer_local"), truth, strict=True):
        assert abs(mine - true) <= abs(theirs[peer] / 100 - true) + 0.05 * true


def test_pulses_of_real_speech_are_praats() -> None:
    for samples in praat.clips(3):
        heard = praat.sound(samples)
        curve = praat.pitch(heard)
        f0 = curve.selected_array["frequency"]
        start = round(curve.xs()[0] * 16_000 - 0.5)

        pulses = periods.find(
            [samples[start:]], [np.where(f0 > 0, f0, np.nan)], hop=160.0, rate=16_000
        )[0]

        points = praat.pulses_of(heard)
        count = praat.ask(points, "Get number of points")
        times = [praat.ask(points, "Get time from index", i + 1) for i in range(count)]
        theirs = np.array(times) * 16_000 - 0.5
        nearest = np.abs(theirs[:, None] - (pulses + start)).min(0)
        assert abs(len(pulses) - count) <= 0.01 * count + 1
        assert np.mean(nearest < 0.5) > 0.9


def test_takes_side_by_side_have_the_pulses_each_has_alone() -> None:
    sung = [synthesis.sing(synthesis.contour(s, hz)) for s, hz in ((0.7, 110), (2.5, 300))]
    samples = [one.audio.samples.astype(np.float64) for one in sung]
    curves = [one.f0_hz for one in sung]

    together = periods.find(samples, curves, hop=160.0, rate=16_000)

    for one, found in zip(sung, together, strict=True):
        np.testing.assert_allclose(found, found_in(one), rtol=1e-9)


def test_a_take_without_voice_has_no_pulses() -> None:
    nothing = [np.zeros(16_000), np.empty(0)]
    unvoiced = [np.full(101, np.nan), np.empty(0)]

    assert [len(p) for p in periods.find(nothing, unvoiced, hop=160.0, rate=16_000)] == [0, 0]
    assert perturbation.jitter(np.empty(0), 16_000) == {}
    assert perturbation.shimmer(np.zeros(10), np.empty(0), 16_000) == {}
