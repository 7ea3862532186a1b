"""The best path through states that change from frame to frame (Viterbi 1967), by blocks.

A max-plus product is associative: blocks of steps are multiplied out side by side, their ends are
joined one after another, and then all blocks are filled in side by side.
"""

import numpy as np
from numpy.typing import NDArray

BLOCK = 16  # steps

Floats = NDArray[np.float64]
States = NDArray[np.intp]


def best_path(first: Floats, steps: Floats) -> States:
    """(batch, frames): the states whose gains add up to most.

    `first` (batch, states) is what the first frame gives, `steps` (frames - 1, from, to, batch)
    what it gives to go from one state to the next. A step of zeros, as in padding, decides nothing.
    """
    count = -(-len(steps) // BLOCK)
    padded = np.pad(steps, ((0, count * BLOCK - len(steps)), (0, 0), (0, 0), (0, 0)))
    blocks = padded.reshape(count, BLOCK, *steps.shape[1:])
    lanes = np.ascontiguousarray(blocks.transpose(1, 2, 3, 4, 0))  # (BLOCK, from, to, batch, count)
    through = _multiplied(lanes)
    ends = _ends(first, through[-1])
    return _filled(ends, lanes, through)[:, : len(steps) + 1]


def _multiplied(lanes: Floats) -> list[Floats]:
    """What it gives at best to go through the steps of a block, after each of them."""
    through: list[Floats] = []
    for step in lanes:
        through.append((through[-1][:, :, None] + step).max(1) if through else step)
    return through


def _ends(first: Floats, through: Floats) -> States:
    """(count + 1, batch): the best path's states where blocks meet."""
    blocks = np.ascontiguousarray(through.transpose(3, 2, 0, 1))  # (count, batch, from, to)
    scores = [first]
    for block in blocks:
        scores.append((scores[-1][:, :, None] + block).max(1))
    rows, states = np.arange(len(first)), [scores[-1].argmax(-1)]
    for score, block in zip(scores[-2::-1], blocks[::-1], strict=True):
        states.append((score + block[rows, :, states[-1]]).argmax(-1))
    return np.stack(states[::-1])


def _filled(ends: States, lanes: Floats, through: list[Floats]) -> States:
    """(batch, frames): the states between the ends, all blocks at once, from the back."""
    start, state = ends[:-1].T, ends[1:].T  # (batch, count)
    row, block = np.ogrid[: start.shape[0], : start.shape[1]]
    states = [state]
    for step, so_far in zip(lanes[:0:-1], through[-2::-1], strict=True):
        came = so_far.transpose(2, 3, 0, 1)[row, block, start]  # (batch, count, states)
        went = step.transpose(2, 3, 1, 0)[row, block, state]
        state = (came + went).argmax(-1)
        states.append(state)
    inside = np.stack(states[::-1], -1).reshape(len(start), -1)
    return np.concatenate([ends[0][:, None], inside], 1)
