"""The evaluation of activity: its mixtures and its metrics, on planted cases."""

import numpy as np
import pytest

from training import augment
from training.evaluation import activity, speech_detectors, speech_mixtures
from training.evaluation.speech_detectors import Said
from training.evaluation.speech_mixtures import Take

FRAMES = 400
RNG = np.random.default_rng


def _take(speaker: str = "one") -> Take:
    """A tone from 1 to 3 s, between silences."""
    t = np.arange(FRAMES * 160) / 16_000
    truth = np.zeros(FRAMES, np.float32)
    truth[100:300] = 1
    return Take(speaker, 0.3 * np.sin(2 * np.pi * 440 * t) * ((t >= 1) & (t < 3)), truth)


def _said(score: np.ndarray) -> Said:
    return Said(score.astype(np.float64), score > 0.5)


def test_the_area_is_one_for_the_truth_and_half_for_chance_or_a_constant() -> None:
    takes = [_take("one"), _take("two")]
    chance = RNG(0).random((2, FRAMES))

    perfect = activity.area([(take, _said(take.truth)) for take in takes])
    wrong = activity.area([(take, _said(1 - take.truth)) for take in takes])
    constant = activity.area([(take, _said(np.full(FRAMES, 0.3))) for take in takes])
    random = activity.area([(take, _said(c)) for take, c in zip(takes, chance, strict=True)])

    assert (perfect.value, wrong.value, constant.value) == (1, 0, 0.5)
    assert random.value == pytest.approx(0.5, abs=0.06)
    assert random.low <= random.value <= random.high


def test_the_area_is_that_of_all_pairs() -> None:
    rng = RNG(1)
    truth = (rng.random(FRAMES) < 0.4).astype(np.float32)
    truth[::17] = np.nan
    score = rng.standard_normal(FRAMES) + np.nan_to_num(truth)
    take = Take("one", np.zeros(FRAMES * 160), truth)

    found = activity.area([(take, _said(score))]).value

    pairs = score[truth == 1][:, None] > score[truth == 0]
    assert found == pytest.approx(pairs.mean(), abs=2e-3)


def test_a_late_detector_is_moved_back() -> None:
    late = np.roll(_take().truth, 3)

    moved = _said(late).moved(3)

    assert (moved.active == (_take().truth == 1)).all()
    assert not _said(np.ones(10)).moved(2).active[-2:].any()


def test_decisions_are_told_apart_as_missed_and_false() -> None:
    take = _take()
    said = _said(np.where(np.arange(FRAMES) < 150, 0.0, 1.0))  # misses 50 of 200, adds 100 of 200

    told = activity._error([(take, said)])

    assert told.startswith("0.375")
    assert told.endswith("[25.0 / 50.0]")


def test_pauses_are_found_when_both_ends_are_near() -> None:
    take = _take()
    take.truth[200:240] = 0
    heard = take.truth.copy()
    heard[200:245] = 0

    assert activity._pauses([(take, _said(heard))]) == "1 of 1, 0 wrong, 50 ms"


def test_noise_is_set_against_the_speech_and_nothing_moves() -> None:
    take, hiss = _take(), augment.white(FRAMES * 160, RNG(2))

    noisy = speech_mixtures._noisy(lambda take, rng: hiss, 10.0)(take, RNG(3))

    noise = noisy - take.samples
    speech = take.samples[16_000:48_000]
    ratio = 10 * np.log10(np.mean(speech**2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.1)


def test_what_a_room_trails_is_not_judged() -> None:
    changed = speech_mixtures.changed(_take(), speech_mixtures.in_room, RNG(4))

    tail = changed.truth[300 : 300 + speech_mixtures.TAIL]
    assert np.isnan(tail).all()
    assert np.nansum(changed.truth) == 200


def test_babble_leaves_the_speaker_out() -> None:
    long = [Take(str(i), np.full(50_000, float(i + 1)), np.ones(312, np.float32)) for i in range(8)]

    crowd = speech_mixtures.babble(long[7], long, RNG(5))

    assert crowd == pytest.approx(6.0)  # six voices of unit level


def test_a_kitchen_has_hum_and_blows() -> None:
    sound = speech_mixtures.kitchen(48_000, RNG(6))

    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    assert np.abs(sound).max() > 4 * sound.std()
    assert spectrum[150] > 100 * np.median(spectrum)  # 50 Hz over three seconds


def test_energy_finds_a_clean_tone() -> None:
    take = _take()

    [said] = speech_detectors.energy([take.samples])

    assert activity._error([(take, said)]).startswith("0.0")


def test_a_missing_detector_is_named() -> None:
    take = _take()
    heard = {"clean": {speech_detectors.OURS: [(take, _said(take.truth))]}}

    [row] = activity.areas(heard, {speech_detectors.OURS: None, "Silero": None}).rows

    assert (row[0], row[2]) == ("clean", "missing")
