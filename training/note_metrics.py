"""How right a list of notes is: mir_eval's transcription measures (Raffel et al. 2014)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

ONSET_S, CENTS = 0.05, 50.0  # a note this near in both is found
OFFSET_SHARE, OFFSET_S = 0.2, 0.05  # of the true note's length, but no less

Floats = NDArray[np.float64]


class Timed(Protocol):
    """A note, however it was made."""

    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...
    @property
    def midi(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Found:
    """What was found of the true notes; sums of these are pooled counts."""

    matched: int
    true: int
    said: int

    @property
    def precision(self) -> float:
        return self.matched / max(1, self.said)

    @property
    def recall(self) -> float:
        return self.matched / max(1, self.true)

    @property
    def f1(self) -> float:
        return 2 * self.matched / max(1, self.said + self.true)


def matching(
    truth: Sequence[Timed], said: Sequence[Timed], *, offsets: bool = False
) -> list[tuple[int, int]]:
    """The largest set of pairs (true, said) whose onsets, pitches and, if asked, offsets agree."""
    if not truth or not said:
        return []
    onset, offset, midi = (_apart(truth, said, name) for name in ("start_s", "end_s", "midi"))
    near = (np.round(onset, 4) <= ONSET_S) & (100 * midi <= CENTS)
    if offsets:
        lengths = np.array([[note.end_s - note.start_s] for note in truth])
        near &= np.round(offset, 4) <= np.maximum(OFFSET_SHARE * lengths, OFFSET_S)
    partner = maximum_bipartite_matching(csr_array(near), perm_type="column")
    return [(row, int(column)) for row, column in enumerate(partner) if column >= 0]


def found(truth: Sequence[Timed], said: Sequence[Timed], *, offsets: bool = False) -> Found:
    return Found(len(matching(truth, said, offsets=offsets)), len(truth), len(said))


def _apart(truth: Sequence[Timed], said: Sequence[Timed], name: str) -> Floats:
    """(true, said): absolute differences."""
    a, b = (np.array([getattr(note, name) for note in notes], float) for notes in (truth, said))
    return np.asarray(np.abs(a[:, None] - b))
