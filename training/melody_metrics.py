"""How right an F0 curve is: the measures of Poliner et al. 2007, as mir_eval names them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 50.0  # cents

Floats = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares of frames, and the median error of the voiced frames that are right, in cents."""

    overall: float  # OA: voicing and pitch right
    raw_pitch: float  # RPA: of truly voiced frames, pitch right whatever the voicing said
    raw_chroma: float  # RCA: the same but for octaves
    voicing_recall: float
    voicing_false_alarm: float
    error_cents: float


def accuracy(guess_hz: Floats, voiced: NDArray[np.bool_], truth_hz: Floats) -> Accuracy:
    """Compare frame by frame; `truth_hz` is 0 where unvoiced, `guess_hz` is a guess everywhere."""
    sounding = truth_hz > 0
    cents = 1200 * np.log2(np.maximum(guess_hz, 1.0) / np.where(sounding, truth_hz, 1.0))
    right = sounding & (np.abs(cents) <= TOLERANCE)
    folded = np.abs(np.mod(cents + 600, 1200) - 600)
    return Accuracy(
        overall=float(np.mean(np.where(sounding, right & voiced, ~voiced))),
        raw_pitch=_share(right, sounding),
        raw_chroma=_share(sounding & (folded <= TOLERANCE), sounding),
        voicing_recall=_share(sounding & voiced, sounding),
        voicing_false_alarm=_share(~sounding & voiced, ~sounding),
        error_cents=float(np.median(np.abs(cents[right]))) if right.any() else float("nan"),
    )


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / max(1, whole.sum()))
