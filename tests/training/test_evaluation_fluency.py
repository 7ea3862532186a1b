"""The evaluation of fluency: its planted truths, its marks and its metrics, on known cases."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.audio import Audio
from training.evaluation import fluency, planted_speech, syllable_marks
from training.evaluation.planted_speech import Planted, Sound, Tune, utter
from training.evaluation.syllable_marks import Marked

NOTHING = Audio(np.zeros(16_000, np.float32), 16_000)


def _two_phrases() -> Planted:
    edges = (0.0, 0.1, 0.2, 0.3, 0.6, 0.7, 1.0)
    kinds = ("nasal", "vowel", "stop", "vowel", "nasal", "vowel")
    first = tuple(Sound(kind, a, b) for kind, (a, b) in zip(kinds, pairwise(edges), strict=True))
    second = (Sound("nasal", 1.5, 1.6), Sound("vowel", 1.6, 2.0))
    return Planted(NOTHING, (first, second), Tune())


def test_rates_follow_from_the_sounds() -> None:
    truth = _two_phrases().rates()

    assert truth["syllables"] == 4
    assert truth["speech_rate_sps"] == pytest.approx(4 / 2.0)
    assert truth["articulation_rate_sps"] == pytest.approx(4 / 1.5)
    assert truth["phonation_ratio"] == pytest.approx(0.75)
    assert truth["mean_length_of_run"] == 2
    assert truth["pauses_per_minute"] == pytest.approx(30)
    assert truth["pause_mean_s"] == pytest.approx(0.5)
    assert truth["percent_v"] == pytest.approx(100 * 1.1 / 1.5)
    assert truth["npvi_v"] == pytest.approx(50)  # .1 and .3 s: 100; .3 and .3 s: 0


def test_a_planted_take_sounds_where_it_says() -> None:
    take = utter(np.random.default_rng(0), syllables=(4, 3), rate=4.0, tune=Tune(slope=-3))

    level = np.abs(take.audio.samples).reshape(-1)[: len(take.audio.samples) // 160 * 160]
    frames = level.reshape(-1, 160).max(1)
    for vowel in (vowel for vowels in take.vowels for vowel in vowels):
        assert frames[round(100 * (vowel.start_s + vowel.end_s) / 2)] > 0.03
    pause = take.runs_s[0][1], take.runs_s[1][0]
    assert frames[round(100 * pause[0]) + 5 : round(100 * pause[1]) - 5].max() < 0.01


def test_the_planted_melody_is_that_of_the_tune() -> None:
    take = utter(np.random.default_rng(1), syllables=(6,), rate=3.0, tune=Tune(200, slope=-4))
    start, _ = take.runs_s[0]

    f0 = planted_speech.melody(take, start + np.arange(0, 1.5, 0.01))

    heard = f0 > 0
    expected = 200 * 2 ** (-4 * np.arange(0, 1.5, 0.01) / 12)
    assert f0[heard] == pytest.approx(expected[heard])


def test_each_nucleus_counts_for_one_unit_only() -> None:
    units = [(0.1, 0.2), (0.2, 0.3), (0.5, 0.6)]

    assert syllable_marks.hits([0.2], units) == 1
    assert syllable_marks.hits([0.15, 0.25, 0.55], units) == 3
    assert syllable_marks.hits([0.15, 0.16, 0.4], units) == 1
    assert syllable_marks.hits([], units) == 0


def test_a_detector_that_finds_half_has_a_recall_of_half() -> None:
    units = [(i * 0.14, i * 0.14 + 0.14) for i in range(4)]  # fast
    clips = [Marked("one", NOTHING, units), Marked("two", NOTHING, units)]

    half = fluency.marked(
        clips, {"half": lambda takes: [[0.07, 0.35] for _ in takes], "none": None}
    )

    name, f1, precision, recall, error, bias, fast = (str(cell) for cell in half.rows[0])
    assert (name, f1[:5], precision[:5], recall[:5]) == ("half", "0.667", "1.000", "0.500")
    assert (error[:5], bias[:6], fast[:6]) == ("0.500", "-0.500", "-0.500")
    assert half.rows[1][:2] == ("none", "missing")


def test_marks_of_emodb_are_read_up_to_the_cut(tmp_path: Path) -> None:
    folder = tmp_path / "clip.silb"
    folder.write_text("0.1 der\n0.3 la\n0.5 t\n0.55 pen\n0.9 .\n1.2 auf\n1.9 dem\n2.2 .\n")

    units = syllable_marks._units(folder)

    assert units == [(0.1, 0.3), (0.3, 0.5), (0.55, 0.9), (1.2, 1.9)]


def test_errors_are_told_with_what_is_absent() -> None:
    [row] = fluency._errors({"rate": [(2.0, 2.5), (4.0, 3.5), (5.0, float("nan"))]})

    assert row == ("rate (1 of 3 absent)", "2 to 5", 0.0, 0.5, 0.5)


def test_the_script_finds_bursts_of_a_voice() -> None:
    pytest.importorskip("parselmouth")
    take = utter(np.random.default_rng(2), syllables=(6,), rate=3.0)

    found = syllable_marks.de_jong_wempe(take.audio, -25.0, 2.0)

    assert 5 <= len(found) <= 7
