"""The evaluation of emotion: metrics on planted answers, and the whole of it on a tiny corpus."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from models.emotionnet import CATEGORIES, EmotionNet
from training import data, emotion_metrics, expressions, synthesis
from training.emotion_metrics import Judged
from training.evaluation import egemaps, emotion
from training.evaluation.emotion import FOUR, Held
from training.recipes import emotion as recipe

SPEAKERS = ("a", "b", "c", "d")
LABELS = ("neutral", "anger", "sadness", "happiness")


def judged(logits: np.ndarray[tuple[int, ...], np.dtype[np.float64]], wanted: list[int]) -> Judged:
    truth = np.linspace(-0.5, 0.5, 2 * len(wanted)).reshape(-1, 2)
    speakers = np.array(["x", "y"] * (len(wanted) // 2))
    return Judged(np.asarray(logits, float), truth.copy(), np.array(wanted), truth, speakers)


def test_recall_counts_every_category_alike() -> None:
    wanted = np.array([0] * 8 + [1] * 2)

    assert emotion_metrics.recall(np.zeros(10, int), wanted) == 0.5
    assert emotion_metrics.recall(wanted, wanted) == 1.0


def test_the_interval_of_recall_widens_with_what_speakers_differ_by() -> None:
    wanted = np.tile([0, 1], 20)
    speakers = np.repeat([f"speaker {i}" for i in range(10)], 4)
    alike = np.where(np.tile([True, True, True, False], 10), wanted, 1 - wanted)
    unlike = np.where(np.repeat(np.arange(10) % 4 != 0, 4), wanted, 1 - wanted)

    low, high = emotion_metrics.recall_interval(alike, wanted, speakers)
    lower, higher = emotion_metrics.recall_interval(unlike, wanted, speakers)

    assert high - low < 0.01
    assert higher - lower > 0.3


def test_temperature_undoes_what_was_overstated() -> None:
    rng = np.random.default_rng(0)
    honest = np.log(rng.dirichlet([1, 1, 1], 4000))
    wanted = np.array([rng.choice(3, p=np.exp(row)) for row in honest])

    found = emotion_metrics.temperature(3 * honest, wanted)

    assert found == pytest.approx(3, rel=0.1)
    assert emotion_metrics.calibration_error(np.exp(honest), wanted) < 0.03
    assert emotion_metrics.calibration_error(emotion_metrics.shares(3 * honest), wanted) > 0.1


def test_a_label_is_withheld_until_enough_are_right() -> None:
    sure, torn = [4.0, 0.0], [0.2, 0.0]
    mostly_wrong = [0, 0] + [1] * 8

    heard = judged(np.array([sure] * 10 + [torn] * 10), [0] * 10 + mostly_wrong)

    assert emotion_metrics.labelled(heard) == (0.5, 1.0)
    assert emotion_metrics.labelled(judged(np.array([sure] * 4), [0] * 4)) == (1.0, 1.0)


def test_concordance_wants_the_same_values_and_not_only_the_same_order() -> None:
    heard = judged(np.zeros((6, 2)), [0, 1] * 3)
    louder = replace(heard, dimensions=heard.truth * 3)

    assert emotion_metrics.concordance(heard) == pytest.approx((1, 1))
    assert all(value < 0.7 for value in emotion_metrics.concordance(louder))


def test_only_some_categories_can_be_told_apart() -> None:
    heard = judged(np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]), [1, 2])

    some = heard.among([1, 2])

    assert some.wanted.tolist() == [0, 1]
    assert emotion_metrics.recall(some.logits.argmax(1), some.wanted) == 1.0


def test_the_baseline_learns_what_can_be_learnt() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    wanted = np.tile([0, 1, 2], 20)
    features = rng.standard_normal((60, 5)) + 4 * wanted[:, None]
    folds = [np.arange(60) % 2 == 0, np.arange(60) % 2 == 1]

    found = egemaps.best(features, wanted, folds)

    assert emotion_metrics.recall(found.said, wanted) > 0.9


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four voices; each expression has a melody of its own."""
    root = tmp_path_factory.mktemp("corpora")
    ends = {"neutral": (1, 1), "anger": (2, 1.4), "sadness": (0.9, 0.6), "happiness": (1.2, 2.2)}
    for folder in ("ravdess", "emodb"):
        (root / folder / "audio").mkdir(parents=True)
        rows = [
            _row(root / folder, speaker, label, ends[label])
            for speaker in SPEAKERS
            for label in LABELS
        ]
        with (root / folder / "labels.csv").open("w", newline="") as opened:
            writer = csv.DictWriter(opened, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return root


def _row(folder: Path, speaker: str, label: str, ends: tuple[float, float]) -> dict[str, str]:
    base = 110.0 * 1.2 ** SPEAKERS.index(speaker)
    line = synthesis.glide(1.2, base * ends[0], base * ends[1])
    whole = np.concatenate([synthesis.rest(0.3), line, synthesis.rest(0.3)])
    sound = synthesis.sing(whole, synthesis.Voice(noise_db=-30.0)).audio
    name = f"audio/{speaker}-{label}.flac"
    soundfile.write(folder / name, sound.samples, 16_000)
    fixed = {"gender": "m", "transcript": "", "language": "en", "licence": "", "train_ok": "no"}
    extra = {"duration_s": "1.8", "extra": json.dumps({"intensity": "normal"})}
    return {"file": name, "speaker": speaker, "label": label, **fixed, **extra}


def test_material_holds_every_variant_of_every_clip(corpora: Path) -> None:
    clips = data.corpus(corpora, "ravdess")

    known = expressions.material(clips, CATEGORIES, np.random.default_rng(0))

    assert known.levels.shape[:2] == known.counts.shape == (16, expressions.VARIANTS)
    assert np.isfinite(known.measured).all()
    assert known.of(known.speakers == "a").categories.tolist() == [0, 4, 3, 2]
    assert known.dimensions[1].tolist() == pytest.approx([0.49, -0.51])  # angry, not strongly


def test_no_fold_learns_from_the_speakers_it_judges(
    corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = replace(emotion.RAVDESS, names=FOUR, folds=2, members=1)
    own = Held(corpus, data.corpus(corpora, "ravdess"), material(corpora), None)
    learnt: list[set[str]] = []

    def learn(known: expressions.Material, *_: object, **__: object) -> EmotionNet:
        learnt.append(set(known.speakers.tolist()))
        return EmotionNet(1, len(FOUR)).eval()

    monkeypatch.setattr(recipe, "learn", learn)
    heard = emotion.in_folds(own)

    assert learnt == [{"b", "d"}, {"a", "c"}]
    assert heard.speakers.tolist() == [*"aaaaccccbbbbdddd"]


def test_melodies_are_learnt(corpora: Path) -> None:
    clips = data.corpus(corpora, "ravdess")

    network = recipe.learn(material(corpora), FOUR, 0.005, members=1)

    heard = recipe.judged(network, clips, FOUR)
    assert emotion_metrics.recall(heard.logits.argmax(1), heard.wanted) > 0.8  # chance: 0.25


def material(corpora: Path) -> expressions.Material:
    clips = data.corpus(corpora, "ravdess")
    return expressions.material(clips, FOUR, np.random.default_rng(0))


def test_the_whole_of_it_runs_without_its_peers(
    corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick: dict[str, Any] = {"folds": 2, "minutes": 0.003, "members": 1, "names": FOUR}
    monkeypatch.setattr(emotion, "RAVDESS", replace(emotion.RAVDESS, **quick))
    monkeypatch.setattr(emotion, "EMODB", replace(emotion.EMODB, **quick))
    monkeypatch.setattr(emotion, "COMMON", FOUR)
    monkeypatch.setattr(egemaps, "functionals", lambda clips: None)

    tables = emotion.measure(corpora)

    text = "\n".join(table.markdown() for table in tables)
    assert len(tables) == 4
    assert "eGeMAPS + SVM | missing" in text
    assert "CC-BY-NC-SA-4.0" in text


def test_the_card_says_what_it_must(corpora: Path) -> None:
    names = ("temperature", "threshold", "labelled", "labels_right", "uar", "ece")
    pairs = ("arousal_rmse", "valence_rmse", "arousal_ccc", "valence_ccc")
    foreign = ("emodb_uar", "emodb_arousal_ccc", "emodb_valence_ccc")

    text = recipe.card(dict.fromkeys((*names, *pairs, *foreign), 0.25), {"calm": 0.5}, 400_000)

    for needed in ("CC-BY-NC-SA-4.0", "not what somebody feels", "not rated", "Russell", "0.250"):
        assert needed in text
