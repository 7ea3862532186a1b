"""The evaluation of scores: its figures are right where they are known beforehand."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from models import norms
from models.results import Fluency, Measure, Score
from training import synthesis
from training.data import Clip
from training.evaluation import score_ladders, score_norms, scores
from training.evaluation.score_ladders import OF_SONG, OF_SPEECH, Reader
from training.evaluation.score_takes import Take
from training.resynthesis import Speech

ACTORS, LINES = 20, 6
RATE = "fluency.articulation_rate_sps"

Floats = NDArray[np.float64]


def _take(rate: float, **more: str | tuple[str, ...]) -> Take:
    measure = Measure(value=rate, unit="1/s")
    results = {"fluency": Fluency(measures={"articulation_rate_sps": measure})}
    score = Score(value=float(np.clip(rate, 0, 100)), uses=[], reference="Ours.")
    take = Take(5.0, results, {"pace": score}, [])  # type: ignore[arg-type]
    return replace(take, **more)  # type: ignore[arg-type]


def _acted(between: float, within: float) -> list[Take]:
    """Actors who differ by `between`, on lines that differ too, each said twice."""
    rng = np.random.default_rng(0)
    own = between * rng.standard_normal(ACTORS)
    return [
        _take(
            50 + 10 * line + own[actor] + within * rng.standard_normal(),
            speaker=f"actor {actor}",
            asked=("calm", f"line {line}", "normal"),
            repetition=repetition,
        )
        for actor in range(ACTORS)
        for line in range(LINES)
        for repetition in ("01", "02")
    ]


def test_repetitions_are_paired_with_their_own() -> None:
    takes = _acted(5, 1)
    alone = _take(1, speaker="actor 0", asked=("angry", "line 0", "normal"), repetition="01")

    pairs = score_norms.repeated([*takes, alone])

    assert len(pairs) == ACTORS * LINES
    assert all((a.speaker, a.asked) == (b.speaker, b.asked) for a, b in pairs)


def test_the_within_person_spread_and_its_real_change_are_recovered() -> None:
    found = score_norms.spread(score_norms.repeated(_acted(between=8, within=2)), RATE)

    assert found is not None
    assert found.sd.value == pytest.approx(2, rel=0.2)
    assert found.sd.low < 2 < found.sd.high
    assert found.smallest_real_change == pytest.approx(2.77 * 2, rel=0.2)
    assert (found.pairs, found.people) == (ACTORS * LINES, ACTORS)


@pytest.mark.parametrize(("between", "within"), [(8.0, 2.0), (2.0, 2.0), (0.5, 4.0)])
def test_icc_is_the_share_of_persons_and_not_of_lines(between: float, within: float) -> None:
    found = score_norms.spread(score_norms.repeated(_acted(between, within)), RATE)

    assert found is not None
    assert found.icc == pytest.approx(between**2 / (between**2 + within**2), abs=0.2)


def test_too_few_pairs_give_no_spread() -> None:
    assert score_norms.spread(score_norms.repeated(_acted(5, 1))[:10], RATE) is None
    assert score_norms.spread(score_norms.repeated(_acted(5, 1)), "timbre.hnr_db") is None


def test_the_command_fills_the_tables_and_leaves_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "norms.py"
    shutil.copy(score_norms.NORMS, path)
    rows: Mapping[str, Sequence[float]] = {RATE: (1.0, 2.0, 3.0, 4.0, 5.0)}
    sds: Mapping[str, Sequence[float]] = {"pace": (4.56789, 2.0), RATE: (0.25, 0.1)}

    score_norms.write(path, rows, (1.5, 8.0), sds)
    first = path.read_text()
    score_norms.write(path, rows, (1.5, 8.0), sds)

    known: dict[str, Any] = {}
    exec(first, known)
    assert path.read_text() == first
    assert known["PERCENTILES"] == rows
    assert known["SPOKEN_S"] == (1.5, 8.0)
    assert known["WITHIN_PERSON_SD"] == {"pace": (4.57, 2.0), RATE: (0.25, 0.1)}
    assert known["smallest_real_change"]("pace", 1.5) == pytest.approx(2.772 * 4.57, rel=1e-3)


def test_a_file_without_the_tables_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "norms.py"
    path.write_text("PERCENTILES = 3\n")

    with pytest.raises(ValueError, match="PERCENTILES"):
        score_norms.write(path, {}, (1, 2), {})

    assert path.read_text() == "PERCENTILES = 3\n"


def test_calm_takes_are_joined_by_actor_and_repetition(tmp_path: Path) -> None:
    def clip(speaker: str, rep: str, label: str) -> Clip:
        path = tmp_path / f"{speaker}{rep}{label}.wav"
        soundfile.write(path, np.zeros(1600), 16_000)
        extra = {"rep": rep, "intensity": "normal"}
        return Clip(path, "ravdess", speaker, "", label, "", 0.1, "", False, extra)

    labels = ("neutral", "calm", "anger")
    clips = [clip(who, rep, label) for who in "ab" for rep in ("01", "02") for label in labels]

    found = score_norms.joined(clips)

    assert [(c.speaker, c.extra["rep"]) for c, _ in found] == [
        ("a", "01"),
        ("a", "02"),
        ("b", "01"),
        ("b", "02"),
    ]
    assert all(audio.seconds == pytest.approx(0.2) for _, audio in found)


def test_percentiles_of_pauses_are_the_readers_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    readers, orders = [_take(rate) for rate in range(101)], [_take(1000.0)] * 50
    pool = {score_norms.READERS: readers, "picovoice_intent": orders}

    pooled = score_norms.percentiles(pool, [RATE])
    monkeypatch.setattr(score_norms, "OF_READERS", (RATE,))
    alone = score_norms.percentiles(pool, [RATE])

    assert alone == {RATE: tuple(np.percentile(range(101), norms.RANKS))}
    assert pooled[RATE][-1] == 1000


def test_a_score_that_is_stuck_is_told() -> None:
    stuck = {"librispeech_subset": [_take(200.0)] * 10, "picovoice_intent": [_take(60.0)] * 10}

    section = scores.distribution(stuck)

    assert [row[-1] for row in section.rows] == ["100.0%", "0.0%"]
    assert "pace is at an end for 100% of LibriSpeech" in " ".join(section.notes)
    assert "Picovoice." not in " ".join(section.notes)


def test_evidence_outside_a_take_is_counted() -> None:
    outside = Score(value=5, uses=[], reference="Ours.", evidence_s=[(4.0, 5.5)])
    takes = {"emodb": [_take(5), replace(_take(5), scores={"pace": outside})]}

    assert "outside them: 1." in " ".join(scores.distribution(takes).notes)


def test_correlation_is_of_steps_and_scores_within_a_voice() -> None:
    table = np.array([[90, 70, 50, 20], [50, 40, 30, np.nan], [9, 9, 9, 9], [1, np.nan, 2, np.nan]])

    assert score_ladders._correlations(table) == {"0": -1.0, "1": -1.0, "2": 0.0}


def _reader() -> Reader:
    """A voice that says one second of a changing vowel, made without a corpus."""
    rng = np.random.default_rng(0)
    frames, bins = 200, 513
    octaves = np.where(np.arange(frames) % 100 < 80, 7 + 0.3 * np.sin(np.arange(frames) / 9), 0)
    tilt = np.geomspace(1, 1e-4, bins)
    speech = Speech(
        octaves,
        tilt * rng.uniform(0.5, 2, (frames, bins)),
        np.full((frames, bins), 0.1),
        np.zeros(frames, np.bool_),
    )
    return Reader("one", rng.standard_normal(16_000), speech, 4.5)


@pytest.mark.parametrize("ladder", OF_SPEECH, ids=lambda ladder: ladder.title)
def test_every_step_of_speech_sounds_different(
    ladder: score_ladders.Ladder[Reader],
) -> None:
    reader = _reader()

    sounds = [ladder.make(reader, step) for step in (ladder.steps[0], ladder.steps[-1])]

    assert all(np.isfinite(sound).all() and np.abs(sound).max() > 0 for sound in sounds)
    assert len(sounds[0]) != len(sounds[1]) or not np.allclose(sounds[0], sounds[1])


@pytest.mark.parametrize("ladder", OF_SONG, ids=lambda ladder: ladder.title)
def test_every_step_of_song_is_handed_to_the_voice(
    ladder: score_ladders.Ladder[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[Floats, synthesis.Voice]] = []

    def sing(f0_hz: Floats, throat: synthesis.Voice) -> Floats:
        heard.append((f0_hz, throat))
        return np.sin(np.arange(len(f0_hz) // 3) / 4)

    monkeypatch.setattr(score_ladders, "_voiced", sing)
    made = [ladder.make(200.0, step) for step in (ladder.steps[0], ladder.steps[-1])]

    (first, calm), (last, worst) = heard
    assert calm != worst or not np.array_equal(first, last) or not np.allclose(made[0], made[1])
