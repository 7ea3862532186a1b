"""To mono at the analysis rate, block by block: memory stays flat however long the take is."""

import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE

Block = NDArray[np.float32]  # (channels, samples)

_LOUDEST = 1_000.0  # 60 dB over full scale: beyond it a float is damage, not sound


class Mixdown:
    """Feed blocks at the source's rate, take out canonical samples.

    The mean of the channels, through soxr (VHQ, linear phase, its delay taken out). Samples that
    are NaN, infinite or beyond 60 dB over full scale become 0 and are counted in `unreal`.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.frames = 0
        self.unreal = 0
        self.clipping = Clipping()
        self._rate: int | None = None
        self._resampler: soxr.ResampleStream | None = None

    def feed(self, block: Block, rate: int, rail: float) -> NDArray[np.float32]:
        """`rail` is the magnitude from which on a sample counts as at full scale."""
        tail = self.finish() if rate != self._rate else None
        if tail is not None:
            self._rate = rate
            self._resampler = _resampler(rate)
        block = self._repaired(block)
        self.clipping.feed(block, rail)
        self.frames += block.shape[1]
        self.seconds += block.shape[1] / rate
        mono = block[0] if len(block) == 1 else block.mean(axis=0, dtype=np.float32)
        made = self._resampler.resample_chunk(mono) if self._resampler else mono
        return np.concatenate([tail, made]) if tail is not None and len(tail) else made

    def finish(self) -> NDArray[np.float32]:
        """What the resampler still holds."""
        empty = np.zeros(0, np.float32)
        if self._resampler is None:
            return empty
        held: NDArray[np.float32] = self._resampler.resample_chunk(empty, last=True)
        self._resampler = None
        return held

    def _repaired(self, block: Block) -> Block:
        # A sum is finite only if every term is: one pass over the block in the usual case.
        if np.abs(block).max(initial=0) <= _LOUDEST:
            return block
        unreal = ~(np.abs(block) <= _LOUDEST)
        self.unreal += int(unreal.sum())
        return np.where(unreal, np.float32(0), block)


def _resampler(rate: int) -> soxr.ResampleStream | None:
    if rate == ANALYSIS_RATE:
        return None
    return soxr.ResampleStream(rate, ANALYSIS_RATE, 1, dtype="float32", quality="VHQ")


class Clipping:
    """Counts samples in runs of three and more equal ones at full scale, across blocks."""

    def __init__(self) -> None:
        self._clipped = 0
        self._samples = 0
        self._last: Block = np.zeros((0, 2), np.float32)
        self._in_run: NDArray[np.bool_] = np.zeros((0, 1), np.bool_)

    @property
    def fraction(self) -> float:
        return self._clipped / max(self._samples, 1)

    def feed(self, block: Block, rail: float) -> None:
        self._samples += block.size
        if len(block) != len(self._last):
            self._last = np.zeros((len(block), 2), np.float32)
            self._in_run = np.zeros((len(block), 1), np.bool_)
        # Lossy codecs overshoot where the original was clipped: beyond full scale all is equal.
        x = np.concatenate([self._last, np.clip(block, -1, 1)], axis=1)
        self._last = x[:, -2:].copy()
        if np.abs(x).max(initial=0) < rail:
            self._in_run[:] = False
            return
        third = (x[:, 2:] == x[:, 1:-1]) & (x[:, 2:] == x[:, :-2]) & (np.abs(x[:, 2:]) >= rail)
        before = np.concatenate([self._in_run, third[:, :-1]], axis=1)
        self._clipped += int(third.sum()) + 2 * int((third & ~before).sum())
        if third.shape[1]:
            self._in_run = third[:, -1:].copy()
