"""The pieces of word alignment equal whisper's."""

import numpy as np
import torch
from whisper.timing import dtw_cpu, median_filter

from models.alignment import median7, onsets


def test_the_median_filter_is_whispers() -> None:
    torch.manual_seed(0)
    for positions in (3, 4, 7, 8, 100):
        x = torch.randn(2, 5, positions)

        assert torch.equal(median7(x), median_filter(x, 7))


def test_paths_through_matrices_of_many_sizes_are_whispers() -> None:
    rng = np.random.default_rng(0)
    costs = [rng.standard_normal(size) for size in ((1, 1), (5, 40), (30, 9), (12, 120), (7, 1))]

    reached = onsets(costs)

    for cost, first in zip(costs, reached, strict=True):
        tokens, positions = dtw_cpu(cost)
        starts = positions[np.r_[True, np.diff(tokens) > 0]]
        assert first.tolist() == starts.tolist()
