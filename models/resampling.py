"""Resampling that keeps everything up to the new Nyquist frequency, as linear prediction needs."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfft, rfft

BLOCK_S = 4.0
MARGIN_S = 0.25  # of neighbouring signal on both sides of a block, so that its edges do not ring


def brickwall(samples: NDArray[np.floating], rate: int, target: int) -> NDArray[np.float64]:
    """The samples at a lower rate: the spectrum is cut at half of it, with no roll-off before.

    Ordinary resamplers fade out the top of the band, and an all-pole model spends poles on that
    slope: F3 moves by some 10 Hz. Sample 0 stays sample 0.
    """
    if target == rate:
        return np.asarray(samples, np.float64)
    unit = math.gcd(rate, target)
    up, down = target // unit, rate // unit
    margin = down * math.ceil(MARGIN_S * rate / down)
    step = down * math.ceil(BLOCK_S * rate / down)
    wanted = -(-len(samples) * up // down)
    step = min(step, down * math.ceil(len(samples) / down + 1))
    blocks = max(1, -(-len(samples) // step))
    padded = np.zeros(blocks * step + 2 * margin)
    padded[margin : margin + len(samples)] = samples
    out = np.empty(blocks * step // down * up)
    for i in range(blocks):
        spectrum = rfft(padded[i * step : (i + 1) * step + 2 * margin])
        size = (step + 2 * margin) // down * up
        kept = spectrum[: size // 2 + 1]
        kept[-1] = 0.0  # what lies at the new Nyquist has no certain phase
        block = irfft(kept, size) * (up / down)
        edge = margin // down * up
        out[i * step // down * up : (i + 1) * step // down * up] = block[edge : len(block) - edge]
    return out[:wanted]
