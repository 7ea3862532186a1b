"""The evaluation of voice quality: its truths are true, and its verdicts follow its figures."""

from itertools import islice

import numpy as np
import pytest

from training import synthesis
from training.evaluation import instruments, planted_voices, timbre_agreement, timbre_truth
from training.evaluation.planted_voices import Planted
from training.evaluation.timbre_agreement import Goal, Take
from training.synthesis import Sung, Voice


def test_planted_perturbation_is_what_the_pulses_do() -> None:
    spans = np.array([0.010, 0.011, 0.010, 0.011])
    sung = Sung(
        synthesis.sing(synthesis.contour(0.1, 100)).audio,
        np.empty(0),
        np.concatenate([[0.0], np.cumsum(spans)]),
        np.array([1.0, 0.8, 1.0, 0.8, 1.0]),
    )

    truth = planted_voices.perturbations(sung)

    assert truth["jitter_local"] == pytest.approx(100 * 0.001 / 0.0105)
    assert truth["shimmer_local"] == pytest.approx(100 * 0.2 / 0.92)
    assert truth["shimmer_local_db"] == pytest.approx(20 * np.log10(1 / 0.8))


def test_the_source_has_the_slope_that_is_stated() -> None:
    sung = synthesis.sing(synthesis.contour(1.0, 200), Voice(formants=(), tilt_hz=300.0))

    samples = sung.audio.samples[4000:12_000]
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    h1, h2, h8 = (10 * np.log10(power[k * 100 - 5 : k * 100 + 6].max()) for k in (1, 2, 8))

    def source(hz: float) -> float:
        return planted_voices.source_db(hz, 300.0)

    assert h1 - h2 == pytest.approx(source(200) - source(400), abs=0.2)
    assert h1 - h8 == pytest.approx(source(200) - source(1600), abs=0.3)


def test_every_planted_voice_has_a_truth_of_its_own() -> None:
    voices = list(islice(planted_voices.every(), 6))

    assert all(voice.truth and np.isfinite(voice.samples).all() for voice in voices)
    assert all((len(voice.samples) - 1) % instruments.HOP == 0 for voice in voices)
    assert voices[0].truth["jitter_local"] < 0.01 < voices[3].truth["jitter_local"]


def test_praats_frames_fall_on_ours() -> None:
    pytest.importorskip("parselmouth")
    take = synthesis.sing(synthesis.glide(1.2, 100, 200)).audio.samples.astype(np.float64)

    f0 = instruments.Praat(instruments.whole_frames(take)).f0_hz()

    truth = 100 * 2 ** (np.arange(len(f0)) * 0.01 / 1.2)
    assert np.isfinite(f0).sum() > 100
    assert np.nanmax(np.abs(f0 / truth - 1)) < 0.01


@pytest.mark.parametrize(
    ("goal", "figures", "verdict"),
    [
        (Goal(0.1, 0.5), (0.05, 0.4, 0.0), "yes"),
        (Goal(0.1, 0.5), (0.05, 0.6, 1.0), "no"),
        (Goal(0.1, 0.5), (0.15, 0.4, 1.0), "no"),
        (Goal(0.05, r=0.97), (0.01, 9.0, 0.96), "no"),
        (Goal(), (9.0, 9.0, 0.0), "-"),
    ],
)
def test_a_goal_is_reached_only_if_all_of_it_is(
    goal: Goal, figures: tuple[float, float, float], verdict: str
) -> None:
    assert goal.reached(*figures) == verdict


def takes(offset: float) -> list[Take]:
    rng = np.random.default_rng(0)
    made = []
    for number in range(5):
        hnr = rng.uniform(5, 20, 30)
        frames = {name: (hnr + offset, hnr) for name in timbre_agreement.FRAME_GOALS}
        jitter = float(rng.uniform(1, 3))
        ours = {"jitter_local": jitter * (1 + offset), "alpha_ratio_db": jitter}
        praats = {"jitter_local": jitter, "alpha_ratio_db": jitter}
        made.append(Take(str(number), "corpus", frames, ours, praats, {"jitter_local": jitter**2}))
    return made


@pytest.mark.parametrize(("offset", "verdict"), [(0.01, "yes"), (0.2, "no")])
def test_agreement_is_judged_by_the_tolerances(offset: float, verdict: str) -> None:
    frames, whole = (make(takes(offset)) for make in TABLES)

    assert [row[6] for row in frames.rows if row[0] == "hnr_db"] == [verdict]
    assert frames.rows[0][1] == 150
    jitter, alpha = whole.rows
    assert jitter[0] == "jitter_local (relative)"
    assert jitter[6] == verdict
    assert alpha[6:] == ["yes", "-", "-"]


TABLES = (timbre_agreement.by_frame, timbre_agreement.by_take)


def test_an_error_counts_only_where_there_was_an_answer() -> None:
    voice = Planted("noise", np.zeros(1), {"hnr_db": 18.0})
    cases = [
        timbre_truth.Case(voice, {"a": {"hnr_db": 17.5}, "b": {}}),
        timbre_truth.Case(voice, {"a": {"hnr_db": float("nan")}, "b": {"hnr_db": 20.0}}),
    ]

    assert timbre_truth.errors_of("hnr_db", cases, "a") == {"0": 0.5}
    assert timbre_truth.errors_of("hnr_db", cases, "b") == {"1": 2.0}
    assert timbre_truth.errors_of("hnr_db", cases, "c") == {}
