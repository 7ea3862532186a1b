"""Loudness as broadcasters measure it: K-weighting, momentary, short-term, integrated, range."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.signal import lfilter
from torch import Tensor

from models.audio import ANALYSIS_RATE

HOP_S = 0.1
HOP = round(HOP_S * ANALYSIS_RATE)  # samples
MOMENTARY_HOPS, SHORT_TERM_HOPS = 4, 30  # 400 ms and 3 s (EBU Tech 3341)
OFFSET = -0.691  # dB: a 997 Hz full-scale sine in one channel reads -3.01 LUFS
ABSOLUTE_GATE = -70.0  # LUFS
INTEGRATED_GATE, RANGE_GATE = -10.0, -20.0  # LU re the loudness above the absolute gate
TAPS = 2048  # 128 ms: the filters' response has by then died to 1e-13
BLOCK = 16 * HOP  # samples filtered at a time, so that memory stays bounded

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Loudness:
    """One take's energy, K-weighted: mean square of each whole 100 ms."""

    energy: Floats  # (hops,)

    def momentary_lufs(self) -> Floats:
        """(frames,): 400 ms around every 100 ms, the first around the start of the take."""
        return lufs(_sliding(np.pad(self.energy, 2), MOMENTARY_HOPS))

    def short_term_lufs(self) -> Floats:
        """(hops - 29,): 3 s windows that lie wholly inside the take; empty when it is shorter."""
        return lufs(_sliding(self.energy, SHORT_TERM_HOPS))

    def integrated_lufs(self) -> float | None:
        """Gated loudness of the whole take; None when nothing passes the gate (BS.1770-4)."""
        blocks = _gated(_sliding(self.energy, MOMENTARY_HOPS), INTEGRATED_GATE)
        return float(lufs(blocks.mean())) if blocks.size else None

    def range_lu(self) -> float | None:
        """Loudness range, 10 to 95 % of the gated short-term loudness (EBU Tech 3342)."""
        blocks = _gated(_sliding(self.energy, SHORT_TERM_HOPS), RANGE_GATE)
        if not blocks.size:
            return None
        low, high = np.percentile(lufs(blocks), (10, 95))
        return float(high - low)


def measure(samples: Tensor, lengths: Tensor) -> list[Loudness]:
    """Loudness of every take of a padded batch (batch, samples) at 16 kHz."""
    energy = _hop_energy(without_offset(samples, lengths), lengths)
    counts = (lengths // HOP).tolist()
    rows = energy.double().cpu().numpy()
    return [Loudness(row[:count]) for row, count in zip(rows, counts, strict=True)]


def lufs(mean_square: Floats | np.float64) -> Floats:
    """K-weighted mean square to LUFS; silence is -inf."""
    with np.errstate(divide="ignore"):
        return np.asarray(OFFSET + 10 * np.log10(mean_square))


def without_offset(samples: Tensor, lengths: Tensor) -> Tensor:
    """Without the take's own mean, which would ring at both ends; padding stays zero."""
    mean = torch.sum(samples, 1, dtype=torch.float64) / lengths.clamp(min=1)
    centred = samples - mean.float()[:, None]
    for row, length in zip(centred, lengths.tolist(), strict=True):
        row[length:] = 0
    return centred


def _hop_energy(samples: Tensor, lengths: Tensor) -> Tensor:
    """(batch, hops): mean square of the K-weighted samples, by overlap-save in blocks."""
    hops = int(lengths.max()) // HOP if len(lengths) else 0
    if hops == 0:
        return samples.new_zeros(len(samples), 0)
    size = BLOCK + TAPS
    response = torch.fft.rfft(_k_weighting().to(samples.device), size)
    padded = torch.nn.functional.pad(samples, (TAPS, size))
    found = []
    for start in range(0, hops * HOP, BLOCK):
        spectrum = torch.fft.rfft(padded[:, start : start + size])
        filtered = torch.fft.irfft(spectrum * response, size)[:, TAPS:]  # (batch, BLOCK)
        found.append(filtered.reshape(len(samples), -1, HOP).square().mean(2))
    return torch.cat(found, 1)[:, :hops]


@cache
def _k_weighting() -> Tensor:
    """Impulse response of BS.1770's shelf and high-pass, designed anew for 16 kHz.

    The analogue prototypes behind the standard's 48 kHz coefficients are those of De Man,
    "Evaluation of implementations of the EBU R128 loudness measurement" (AES 145, 2018).
    """
    impulse = np.zeros(TAPS)
    impulse[0] = 1.0
    return torch.from_numpy(_high_pass(_shelf(impulse)).astype(np.float32))


def _shelf(samples: Floats) -> Floats:
    """The head: +4 dB above 1.7 kHz."""
    gain, quality, corner_hz = 3.999843853973347, 0.7071752369554196, 1681.974450955533
    k = np.tan(np.pi * corner_hz / ANALYSIS_RATE)
    high = 10 ** (gain / 20)
    band = high**0.4996667741545416
    b = [high + band * k / quality + k * k, 2 * (k * k - high), high - band * k / quality + k * k]
    a = [1 + k / quality + k * k, 2 * (k * k - 1), 1 - k / quality + k * k]
    return np.asarray(lfilter(np.array(b) / a[0], np.array(a) / a[0], samples))


def _high_pass(samples: Floats) -> Floats:
    """The revised low-frequency B curve: 38 Hz."""
    quality, corner_hz = 0.5003270373238773, 38.13547087602444
    k = np.tan(np.pi * corner_hz / ANALYSIS_RATE)
    scale = 1 + k / quality + k * k
    a = [1.0, 2 * (k * k - 1) / scale, (1 - k / quality + k * k) / scale]
    return np.asarray(lfilter([1.0, -2.0, 1.0], a, samples))


def _sliding(energy: Floats, hops: int) -> Floats:
    """Means over every run of `hops`; empty when there are fewer."""
    if len(energy) < hops:
        return np.zeros(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(energy, hops).mean(1))


def _gated(blocks: Floats, relative: float) -> Floats:
    """Blocks over the absolute gate and over the relative one."""
    loud = blocks[lufs(blocks) > ABSOLUTE_GATE]
    if not loud.size:
        return loud
    return np.asarray(loud[lufs(loud) > lufs(loud.mean()) + relative])
