"""The emotion field's baseline: eGeMAPS functionals (Eyben et al. 2016) and an SVM."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from training import data
from training.emotion_metrics import Floats, Ints, recall

SETTINGS = (("linear", 0.01), ("linear", 0.1), ("rbf", 1.0), ("rbf", 3.0), ("rbf", 10.0))
Mask = NDArray[np.bool_]  # (clips,): which are held out


@dataclass(frozen=True, slots=True)
class Best:
    """What the best of the settings said of every clip."""

    setting: str
    said: Ints  # (clips,)


def functionals(clips: Sequence[data.Clip]) -> Floats | None:
    """eGeMAPS v02 (clips, 88); None where openSMILE or scikit-learn is not installed."""
    try:
        opensmile: Any = importlib.import_module("opensmile")
        importlib.import_module("sklearn")
    except ImportError:
        return None
    smile = opensmile.Smile(
        feature_set=opensmile.FeatureSet.eGeMAPSv02,
        feature_level=opensmile.FeatureLevel.Functionals,
    )
    takes = (smile.process_signal(clip.audio().samples, ANALYSIS_RATE) for clip in clips)
    return np.array([take.to_numpy()[0] for take in takes], float)


def best(features: Floats, wanted: Ints, held_out: Sequence[Mask]) -> Best:
    """The setting with the highest recall on the very clips that are held out in turn."""
    tried = [
        Best(f"{kernel}, C = {cost:g}", _in_folds(features, wanted, held_out, kernel, cost))
        for kernel, cost in SETTINGS
    ]
    return max(tried, key=lambda one: recall(one.said, wanted))


def _in_folds(
    features: Floats, wanted: Ints, held_out: Sequence[Mask], kernel: str, cost: float
) -> Ints:
    said = np.zeros_like(wanted)
    for apart in held_out:
        said[apart] = answer(features[~apart], wanted[~apart], features[apart], kernel, cost)
    return said


def answer(
    features: Floats, wanted: Ints, asked: Floats, kernel: str = "linear", cost: float = 0.01
) -> Ints:
    """What an SVM with balanced classes says, features z-scored over the training set."""
    svm: Any = importlib.import_module("sklearn.svm")
    mean, deviation = features.mean(0), features.std(0) + 1e-9
    machine = svm.SVC(kernel=kernel, C=cost, class_weight="balanced")
    machine.fit((features - mean) / deviation, wanted)
    return np.asarray(machine.predict((asked - mean) / deviation))
