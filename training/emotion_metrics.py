"""How good answers about emotion are: recall, calibration, concordance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Names = NDArray[np.str_]
RIGHT = 0.75  # of the labels given must be right on held-out speakers; the rest are unsure
BINS = 10  # of the calibration error
DRAWS = 2000  # resamplings of the speakers


@dataclass(frozen=True, slots=True)
class Judged:
    """What was said of clips of speakers that nothing was learnt from."""

    logits: Floats  # (clips, categories)
    dimensions: Floats  # (clips, 2): arousal, valence
    wanted: Ints  # (clips,): the category it was acted as
    truth: Floats  # (clips, 2)
    speakers: Names  # (clips,)

    @classmethod
    def all_of(cls, parts: Sequence["Judged"]) -> Self:
        names = Judged.__slots__
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

    def among(self, categories: Sequence[int]) -> Self:
        """Only clips of some categories, told apart from each other only."""
        some = np.array(categories)
        kept = np.isin(self.wanted, some)
        return type(self)(
            self.logits[kept][:, some],
            self.dimensions[kept],
            np.searchsorted(some, self.wanted[kept]),
            self.truth[kept],
            self.speakers[kept],
        )


def recall(said: Ints, wanted: Ints) -> float:
    """Unweighted average recall: the mean over categories of the share that was found."""
    return float(np.mean([(said[wanted == one] == one).mean() for one in np.unique(wanted)]))


def recall_interval(said: Ints, wanted: Ints, speakers: Names) -> tuple[float, float]:
    """Where 95 % of the recalls fall when the speakers are drawn again (bootstrap)."""
    names, who = np.unique(speakers, return_inverse=True)
    categories = int(wanted.max()) + 1
    found, there = np.zeros((2, len(names), categories))
    np.add.at(found, (who, wanted), said == wanted)
    np.add.at(there, (who, wanted), 1)
    drawn = np.random.default_rng(0).integers(len(names), size=(DRAWS, len(names)))
    total = there[drawn].sum(1)
    rates = np.divide(found[drawn].sum(1), total, out=np.full_like(total, np.nan), where=total > 0)
    low, high = np.percentile(np.nanmean(rates, 1), [2.5, 97.5])
    return float(low), float(high)


def shares(logits: Floats) -> Floats:
    """Probabilities (..., categories)."""
    return np.asarray(np.exp(log_shares(logits)))


def log_shares(logits: Floats) -> Floats:
    far = logits - logits.max(-1, keepdims=True)
    return np.asarray(far - np.log(np.exp(far).sum(-1, keepdims=True)))


def temperature(logits: Floats, wanted: Ints) -> float:
    """The divisor of the logits that makes the truth likeliest (Guo et al. 2017)."""
    grid = np.geomspace(0.2, 5, 200)
    rows = np.arange(len(wanted))
    likelihoods = [log_shares(logits / scale)[rows, wanted].mean() for scale in grid]
    return float(grid[int(np.argmax(likelihoods))])


def threshold(said: Floats, wanted: Ints) -> float:
    """The least probability above which enough of the labels are right."""
    right = said.argmax(1) == wanted
    for least in np.arange(0.2, 0.9, 0.01):
        above = said.max(1) >= least
        if above.any() and right[above].mean() >= RIGHT:
            return float(least)
    return 0.9


def crossed(heard: Judged) -> Floats:
    """Probabilities (clips, categories), each speaker's calibrated by the others'."""
    told = np.zeros_like(heard.logits)
    for speaker in np.unique(heard.speakers):
        mine = heard.speakers == speaker
        told[mine] = shares(
            heard.logits[mine] / temperature(heard.logits[~mine], heard.wanted[~mine])
        )
    return told


def labelled(heard: Judged) -> tuple[float, float]:
    """Which share of the clips gets a label, and which of these are right, as in `crossed`."""
    told, sure = crossed(heard), np.zeros(len(heard.wanted), bool)
    for speaker in np.unique(heard.speakers):
        mine = heard.speakers == speaker
        sure[mine] = told[mine].max(1) >= threshold(told[~mine], heard.wanted[~mine])
    right = told.argmax(1) == heard.wanted
    return float(sure.mean()), float(right[sure].mean()) if sure.any() else float("nan")


def calibration_error(told: Floats, wanted: Ints) -> float:
    """Expected calibration error of the largest probability (Naeini et al. 2015)."""
    certain, right = told.max(1), told.argmax(1) == wanted
    place = np.minimum((certain * BINS).astype(int), BINS - 1)
    gaps = [abs(float((certain - right)[place == one].sum())) for one in range(BINS)]
    return sum(gaps) / len(certain)


def concordance(heard: Judged) -> tuple[float, float]:
    """Lin's coefficient (1989) of arousal and of valence."""
    said, true = heard.dimensions, heard.truth
    both = np.mean((said - said.mean(0)) * (true - true.mean(0)), 0)
    apart = (said.mean(0) - true.mean(0)) ** 2
    arousal, valence = 2 * both / (said.var(0) + true.var(0) + apart)
    return float(arousal), float(valence)


def figures(own: Judged, foreign: Judged) -> Mapping[str, float]:
    """Calibration is judged leaving one held-out speaker out of what sets the temperature."""
    arousal, valence = concordance(own)
    far_arousal, far_valence = concordance(foreign)
    errors = np.sqrt(np.mean((own.dimensions - own.truth) ** 2, 0))
    told = crossed(own)
    scale = temperature(own.logits, own.wanted)
    said = shares(own.logits / scale)
    least = threshold(said, own.wanted)
    above = said.max(1) >= least
    return {
        "uar": recall(own.logits.argmax(1), own.wanted),
        "ece": calibration_error(told, own.wanted),
        "arousal_rmse": float(errors[0]),
        "valence_rmse": float(errors[1]),
        "arousal_ccc": arousal,
        "valence_ccc": valence,
        "emodb_uar": recall(foreign.logits.argmax(1), foreign.wanted),
        "emodb_arousal_ccc": far_arousal,
        "emodb_valence_ccc": far_valence,
        "temperature": scale,
        "threshold": least,
        "labelled": float(above.mean()),
        "labels_right": float((said.argmax(1) == own.wanted)[above].mean()),
    }
