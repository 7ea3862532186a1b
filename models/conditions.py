"""Recording conditions: what the room and the equipment did to the take. No torch here."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import rfft
from scipy.ndimage import binary_dilation
from scipy.stats import gamma, norm

from models.audio import Audio

RATE = 16_000
HOP, WIDTH = 160, 400  # samples: levels every 10 ms, over 25 ms
HIGHEST_SNR_DB = 80.0  # digital silence between words tells no more than this
FEWEST_GAPS = 10  # frames of pause that noise can be heard in
GUARD = 10  # frames around the voice that are no pause
RAIL = 1e-4  # of the take's range: samples this close to its edge lie on a rail
RUN = 3  # samples in a row on a rail
CLIPPED = 0.01  # share of samples over which voice quality is not measured
LOW_SNR_DB = 10.0

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


def levels(samples: Floats) -> Floats:
    """Mean square of 25 ms around every 10 ms; (samples // 160 + 1,)."""
    energy = np.concatenate([[0.0], np.cumsum(samples**2)])
    centre = np.arange(len(samples) // HOP + 1) * HOP
    first = np.maximum(centre - WIDTH // 2, 0)
    last = np.minimum(centre + WIDTH // 2, len(samples))
    return np.asarray(np.maximum(energy[last] - energy[first], 0.0) / np.maximum(last - first, 1))


def pauses(voiced: Mask, guard: int = GUARD) -> Mask:
    """Frames well away from all voiced ones."""
    if not voiced.any():
        return np.ones(len(voiced), np.bool_)
    return ~np.asarray(binary_dilation(voiced, iterations=guard))


def snr_db(power: Floats, voice: Mask, pause: Mask) -> float | None:
    """Power of the voiced frames over the noise in the quieter half of the pauses.

    None where there are not ten frames of pause: noise under a held note is not told from the
    note. The quieter half, because pauses hold breath and consonants too (as minimum statistics).
    """
    if pause.sum() < FEWEST_GAPS or not voice.any():
        return None
    quiet = np.sort(power[pause])[: int(np.ceil(pause.sum() / 2))]
    noise, loud = float(quiet.mean()), float(power[voice].mean())
    floor = loud * 10 ** (-HIGHEST_SNR_DB / 10)
    return float(10 * np.log10(max(loud - noise, floor) / max(noise, floor, 1e-30)))


def clipped_fraction(audio: Audio) -> float:
    """Share of samples that lie on a rail: at the source's own rate where decoding looked."""
    if audio.source.clipped_fraction is not None:
        return audio.source.clipped_fraction
    samples = audio.samples
    if len(samples) < RUN or not np.ptp(samples) > 0:
        return 0.0
    low, high = float(samples.min()), float(samples.max())
    near = RAIL * (high - low)
    return float((_runs(samples >= high - near) + _runs(samples <= low + near)) / len(samples))


def _runs(flags: Mask) -> int:
    """How many samples lie in runs of three and more."""
    edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
    lengths = edges[1::2] - edges[::2]
    return int(lengths[lengths >= RUN].sum())


def wada_snr_db(samples: Floats) -> float | None:
    """SNR from the distribution of amplitudes (Kim & Stern 2008): speech gamma of shape 0.4,
    noise Gaussian. None for a take that is silent."""
    size = np.abs(samples)
    size = size[size > 1e-5 * size.max(initial=0.0)]
    if len(size) < WIDTH:
        return None
    measured = np.log(size.mean()) - np.log(size).mean()
    snr, expected = _wada()
    return float(np.interp(measured, expected, snr))


@cache
def _wada() -> tuple[Floats, Floats]:
    """SNR in dB and what `log E|x| - E log|x|` is there, from the two distributions."""
    speech = gamma.ppf((np.arange(600) + 0.5) / 600, 0.4)
    speech /= np.sqrt(np.mean(speech**2))
    noise = norm.ppf((np.arange(400) + 0.5) / 400)
    snr = np.arange(-20.0, 61.0, 2.0)
    expected = []
    for db in snr:
        mixed = np.abs(speech[:, None] + 10 ** (-db / 20) * noise) + 1e-12
        expected.append(np.log(mixed.mean()) - np.log(mixed).mean())
    return snr, np.maximum.accumulate(np.array(expected))


@dataclass(frozen=True, slots=True)
class Hum:
    """Mains hum: the comb it was found on, and its power re the voice's."""

    mains_hz: float | None  # None: no hum stands out
    db: float


ODD = (1, 3, 5)  # harmonics of the mains that a voice on an even one does not have
COMB = 10  # harmonics summed
PROMINENT_DB = 10.0
ALONE_DB = 20.0  # the lowest line, which no voice masks, is enough if it stands out so far
HUM_SIZE = 16_000  # samples: 1 Hz bins
HUM_FRAMES = 240  # at most, spread over the take
FAINTEST_HUM_DB = -90.0


def hum(samples: Floats, voice_power: float) -> Hum | None:
    """Mains hum of a take, re the voice's power. None if the take is under half a second.

    Lines of 50 or 60 Hz that stand out of the quietest quarter of one-second spectra: hum stays
    when the voice pauses or moves on.
    """
    if len(samples) < HUM_SIZE // 2 or voice_power <= 0:
        return None
    size = min(HUM_SIZE, len(samples))
    every = max(size // 2, (len(samples) - size) // HUM_FRAMES)
    frames = sliding_window_view(samples, size)[::every]
    window = np.hanning(size)
    highest = int(COMB * 60 + 20)
    spectra = [np.abs(rfft(frame * window, HUM_SIZE)[:highest]) ** 2 for frame in frames]
    power = np.quantile(np.array(spectra), 0.25, axis=0)
    power /= (window**2).sum() * HUM_SIZE / 2  # lines sum to their mean square
    best = max((_comb(power, mains) for mains in (50.0, 60.0)), key=lambda comb: comb.db)
    if best.mains_hz is None:
        return Hum(None, FAINTEST_HUM_DB)
    return Hum(best.mains_hz, max(best.db - 10 * float(np.log10(voice_power)), FAINTEST_HUM_DB))


def _comb(power: Floats, mains_hz: float) -> Hum:
    """Excess of the lines that stand out; none unless two odd ones do, or the lowest by much."""
    excess, standing, lowest = 0.0, 0, False
    for harmonic in range(1, COMB + 1):
        line = round(harmonic * mains_hz)
        sides = np.concatenate([power[line - 15 : line - 5], power[line + 6 : line + 16]])
        around, peak = float(np.median(sides)), power[line - 3 : line + 4]
        if peak.max() <= around * 10 ** (PROMINENT_DB / 10):
            continue
        standing += harmonic in ODD
        lowest |= harmonic == 1 and bool(peak.max() > around * 10 ** (ALONE_DB / 10))
        excess += max(float(peak.sum()) - 7 * around, 0.0)
    db = 10 * float(np.log10(max(excess, 1e-30)))
    return Hum(mains_hz, db) if standing >= 2 or lowest else Hum(None, -np.inf)


BAND = 100  # Hz
BELOW_DB = 65.0  # under the strongest band: nothing is there


SPECTRUM_SIZE = 512
SPECTRUM_FRAMES = 6000  # at most, spread over the take


def bandwidth_hz(samples: Floats, source_rate: int | None) -> float:
    """Up to where a take has energy: the highest 100 Hz band within 65 dB of the strongest one.

    Of what the loudest twentieth of frames reaches in each band, so that fricatives count although
    they are rare.
    """
    padded = np.pad(samples, (0, max(SPECTRUM_SIZE - len(samples), 0)))
    every = max(SPECTRUM_SIZE // 2, len(padded) // SPECTRUM_FRAMES)
    frames = sliding_window_view(padded, SPECTRUM_SIZE)[::every]
    window = np.blackman(SPECTRUM_SIZE)  # sidelobes under -58 dB, falling
    power = np.abs(rfft((frames * window).astype(np.float32), axis=1)) ** 2
    width = round(BAND * SPECTRUM_SIZE / RATE)
    count = power.shape[1] // width
    bands = power[:, : count * width].reshape(len(power), count, width).mean(2)
    reached = np.quantile(bands, 0.95, axis=0)
    there = np.flatnonzero(reached > reached.max() * 10 ** (-BELOW_DB / 10))
    found = (int(there[-1]) + 1) * width * RATE / SPECTRUM_SIZE if len(there) else 0.0
    return float(min(found, (source_rate or RATE) / 2, RATE / 2))
