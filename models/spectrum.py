"""The spectrum of the voice: harmonics' levels, tilt, and where its energy lies."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.framing import Joined, chunks

RATE = 16_000
WIDTH, SIZE = 1024, 2048  # samples: Hann of 64 ms, and the length it is padded to
BIN_HZ = RATE / SIZE
SEARCH = 0.1  # of F0, around where a harmonic should be
AT_ONCE = 256  # frames: few enough to stay in a core's cache
WIDEST = 40  # bins a peak is searched over, each side
NASAL_POLE_HZ = 250.0
LTAS_HZ = 100.0  # width of a band of the long-term average spectrum
TILT_HZ = (100.0, 5000.0)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voiced:
    """Of voiced frames: `h1_h2_db`, `h1_a3_db`, `a1_p0_db`, `flux` (frames,), NaN where unknown;
    `mean_power` (takes, bins): the long-term average spectrum of each take."""

    h1_h2_db: Floats
    h1_a3_db: Floats
    a1_p0_db: Floats
    flux: Floats
    mean_power: Floats


def measure(
    joined: Joined, take: Tensor, centre: Tensor, f0_hz: Tensor, formants_hz: Tensor
) -> Voiced:
    """Spectra around each centre (samples at 16 kHz), voiced at `f0_hz` (frames,), F1-F3 known.

    H1-H2 and H1-A3 are corrected for the boost of the formants (Iseli & Alwan 2004).
    """
    totals = torch.zeros(len(joined.starts), SIZE // 2 + 1, dtype=torch.float64, device=take.device)
    levels, fluxes = [], []
    for part in chunks(len(take), AT_ONCE):
        ahead = slice(max(part.start - 1, 0), part.stop)
        power = _power(joined.frames(take[ahead], centre[ahead], WIDTH))
        flux = _flux(power, take[ahead], centre[ahead])
        power = power[part.start - ahead.start :]
        fluxes.append(flux[part.start - ahead.start :])
        totals.index_add_(0, take[part], power.double())
        levels.append(_levels(power, f0_hz[part], formants_hz[part]))
    counts = torch.bincount(take, minlength=len(totals)).clamp_min(1)
    table = torch.cat(levels).double().cpu().numpy() if levels else np.empty((0, 3))
    flux_all = torch.cat(fluxes).double().cpu().numpy() if fluxes else np.empty(0)
    mean_power = (totals / counts[:, None]).cpu().numpy()
    return Voiced(table[:, 0], table[:, 1], table[:, 2], flux_all, mean_power)


def reach() -> int:
    return WIDTH // 2 + 1


def _power(frames: Tensor) -> Tensor:
    window = torch.hann_window(WIDTH, device=frames.device, dtype=frames.dtype)
    spectrum = torch.fft.rfft(frames * window, SIZE)
    power: Tensor = (spectrum.real**2).add_(spectrum.imag**2)
    return power


def _flux(power: Tensor, take: Tensor, centre: Tensor) -> Tensor:
    """Distance between unit-length magnitude spectra of neighbour frames; NaN over a gap."""
    magnitude = torch.sqrt(power / power.sum(1, keepdim=True).clamp_min(1e-30))
    change = (magnitude[1:] - magnitude[:-1]).square().sum(1).sqrt()
    near = (take[1:] == take[:-1]) & (centre[1:] - centre[:-1] < RATE // 50)
    first = torch.full_like(power[:1, 0], torch.nan)
    return torch.cat([first, torch.where(near, change, torch.nan)])


def _levels(power: Tensor, f0: Tensor, formants: Tensor) -> Tensor:
    """(frames, 3): H1-H2, H1-A3, A1-P0 in dB."""
    db = 10 * torch.log10(power + 1e-20 * power.amax(1, keepdim=True) + 1e-30)
    near, half = SEARCH * f0, 0.5 * f0 + BIN_HZ
    (h1, _), (h2, _) = _peak(db, f0, near), _peak(db, 2 * f0, near)
    (a1, _), (a3, at) = _peak(db, formants[:, 0], half), _peak(db, formants[:, 2], half)
    p0, _ = _peak(db, torch.full_like(f0, NASAL_POLE_HZ), half.clamp_max(NASAL_POLE_HZ - 50))
    width = bandwidth_hz(formants, f0[:, None])
    low, narrow = formants[:, :2], width[:, :2]
    true_h1 = h1 - boost_db(f0, low, narrow)
    true_h2 = h2 - boost_db(2 * f0, low, narrow)
    true_a3 = a3 - boost_db(at, formants, width)  # at F3 it would be too much for a harmonic beside
    apart = (formants[:, 0] - NASAL_POLE_HZ).abs() > f0  # else both are the same harmonic
    nasal = torch.where(apart, a1 - p0, torch.nan)
    return torch.stack([true_h1 - true_h2, true_h1 - true_a3, nasal], 1)


def _peak(db: Tensor, hz: Tensor, reach_hz: Tensor) -> tuple[Tensor, Tensor]:
    """Level and Hz of the highest point within reach, by a parabola; NaN where `hz` is unknown."""
    offsets = torch.arange(-WIDEST, WIDEST + 1, device=db.device)
    centre = torch.nan_to_num(hz / BIN_HZ).round().long()
    index = (centre[:, None] + offsets).clamp(1, db.shape[1] - 2)
    bins = (reach_hz / BIN_HZ).clamp(1, WIDEST)
    near = torch.where(offsets.abs() <= bins[:, None], db.gather(1, index), -torch.inf)
    best = index.gather(1, near.argmax(1, keepdim=True))
    before, at, after = (db.gather(1, best + i)[:, 0] for i in (-1, 0, 1))
    rise, bend = 0.5 * (after - before), 2 * at - before - after
    bent = (bend > 0) & (rise.abs() <= bend)
    shift = torch.where(bent, rise / bend.clamp_min(1e-30), 0.0)
    top, place = at + 0.5 * rise * shift, (best[:, 0] + shift) * BIN_HZ
    unknown = hz.isnan()
    return top.masked_fill(unknown, torch.nan), place.masked_fill(unknown, torch.nan)


def boost_db(hz: Tensor, formants: Tensor, bandwidths: Tensor) -> Tensor:
    """What resonances (frames, count) add at `hz` (frames,), re their gain at 0 Hz."""
    radius = torch.exp(-torch.pi * bandwidths / RATE)
    angle, place = 2 * torch.pi * formants / RATE, (2 * torch.pi * hz / RATE)[:, None]
    still = (1 - 2 * radius * torch.cos(angle) + radius**2) ** 2
    below = 1 - 2 * radius * torch.cos(place + angle) + radius**2
    above = 1 - 2 * radius * torch.cos(place - angle) + radius**2
    return (10 * torch.log10(still / (below * above))).sum(1)


def bandwidth_hz(formant: Tensor, f0: Tensor) -> Tensor:
    """Of a formant at that frequency in a voice of that pitch (Hawks & Miller 1995)."""
    low = (165.327516, -6.73636734e-1, 1.80874446e-3, -4.52201682e-6, 7.49514e-9, -4.70219241e-12)
    high = (
        15.8146139,
        8.10159009e-2,
        -9.79728215e-5,
        5.28725064e-8,
        -1.07099364e-11,
        7.91528509e-16,
    )
    smaller = 1 + 0.25 * (f0.clamp(80.0, 500.0) - 132) / 88  # tracts have higher voices
    return smaller * torch.where(
        formant < 500, _polynomial(formant, low), _polynomial(formant, high)
    )


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    total = torch.zeros_like(x)
    for factor in reversed(coefficients):
        total = total * x + factor
    return total


def shape(mean_power: Floats) -> dict[str, tuple[float, str]]:
    """Value and unit of what a long-term average spectrum (bins,) shows."""
    hz = np.arange(len(mean_power), dtype=np.float64) * BIN_HZ
    db = 10 * np.log10(mean_power + 1e-30)
    share = np.cumsum(mean_power) / mean_power.sum()
    return {
        "alpha_ratio_db": (_band(mean_power, 50, 1000) - _band(mean_power, 1000, 5000), "dB"),
        "hammarberg_index_db": (_top(db, 0, 2000) - _top(db, 2000, 5000), "dB"),
        "slope_0_500_db_per_khz": (_slope(hz, db, 0, 500), "dB/kHz"),
        "slope_500_1500_db_per_khz": (_slope(hz, db, 500, 1500), "dB/kHz"),
        "spectral_tilt_db_per_octave": (_tilt(ltas_db(mean_power)), "dB/octave"),
        "spectral_centroid_hz": (float((hz * mean_power).sum() / mean_power.sum()), "Hz"),
        "spectral_rolloff_hz": (float(np.interp(ROLLOFF, share, hz)), "Hz"),
        "singers_formant_db": (_band(mean_power, 2400, 3200) - _band(mean_power, 0, 2000), "dB"),
    }


def ltas_db(mean_power: Floats) -> Floats:
    """(bands,) Level of every 100 Hz from 0 to 8 kHz, re the energy of the whole."""
    edges = np.arange(0.0, RATE / 2 + 1, LTAS_HZ) / BIN_HZ + 0.5  # bin i reaches i to i + 1
    below = np.concatenate([[0.0], np.cumsum(mean_power)])
    bands = np.diff(np.interp(edges, np.arange(len(below)), below))
    total = max(float(bands.sum()), 1e-30)
    return np.asarray(10 * np.log10(bands / total + 1e-12))


def _tilt(ltas: Floats) -> float:
    """Of the straight line through the levels of the bands over the logarithm of frequency."""
    centre = (np.arange(len(ltas)) + 0.5) * LTAS_HZ
    part = (centre > TILT_HZ[0]) & (centre < TILT_HZ[1])
    return float(np.polyfit(np.log2(centre[part]), ltas[part], 1)[0])


ROLLOFF = 0.85  # of the energy lies below
SHAPES = (
    "alpha_ratio_db",
    "hammarberg_index_db",
    "slope_0_500_db_per_khz",
    "slope_500_1500_db_per_khz",
    "spectral_tilt_db_per_octave",
    "spectral_centroid_hz",
    "spectral_rolloff_hz",
    "singers_formant_db",
)


def _bins(low_hz: float, high_hz: float) -> slice:
    return slice(int(np.ceil(low_hz / BIN_HZ)), int(np.ceil(high_hz / BIN_HZ)))


def _band(power: Floats, low_hz: float, high_hz: float) -> float:
    return float(10 * np.log10(power[_bins(low_hz, high_hz)].sum() + 1e-30))


def _top(db: Floats, low_hz: float, high_hz: float) -> float:
    return float(db[_bins(low_hz, high_hz)].max())


def _slope(hz: Floats, db: Floats, low_hz: float, high_hz: float) -> float:
    part = _bins(low_hz, high_hz)
    return float(np.polyfit(hz[part] / 1000, db[part], 1)[0])
