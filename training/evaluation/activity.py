"""Activity beside Silero, WebRTC and plain energy: on mixtures, on alignments, on what is no voice.

The clean recording's energy is the truth of the mixtures, by the rule of `training/recipes`.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter

from models import activity, mel, spectra
from models.activity import ActivityEngine, ActivityNet
from models.audio import ANALYSIS_RATE
from training import augment, data, synthesis
from training.evaluation import intervals
from training.evaluation.intervals import Interval
from training.evaluation.report import Section
from training.recipes.activity import CORPORA, at_snr, labels_of

PACKAGES = ("silero-vad", "webrtcvad-wheels")
SHIFTS = range(-3, 7)  # frames: each detector is judged at the delay that suits it best
BINS = 2000  # of the scores, for areas under the curve
TALKERS = 6  # of the babble
AROUND_S = 1.0  # of silence before and after each recording
GOALS = {  # METHODS.md: Silero 6.2 on the acceptance material
    "clean": 0.992,
    "white 10 dB": 0.988,
    "white 0 dB": 0.982,
    "kitchen 10 dB": 0.985,
    "kitchen 0 dB": 0.963,
    "babble 10 dB": 0.860,
    "babble 0 dB": 0.665,
}

Samples = NDArray[np.floating]
Floats = NDArray[np.float64]
Labels = NDArray[np.float32]  # a frame of 10 ms: 1 speech, 0 none, nan not judged
Noise = Callable[["Take", Sequence["Take"], np.random.Generator], Samples]


@dataclass(frozen=True, slots=True)
class Take:
    """A recording and where its speaker speaks."""

    speaker: str
    samples: Samples
    truth: Labels


@dataclass(frozen=True, slots=True)
class Said:
    """What one detector says of one take, every 10 ms."""

    score: Floats  # the higher, the likelier speech
    active: NDArray[np.bool_]


Detector = Callable[[Samples], Said]
