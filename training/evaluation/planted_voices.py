"""Synthesised voices whose perturbation, noise, formants and glottal slope are known."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from training import synthesis
from training.evaluation.instruments import whole_frames
from training.synthesis import RATE, Sung, Voice

Floats = NDArray[np.float64]
Tract = tuple[tuple[float, float], ...]

UPPER: Tract = ((3400.0, 150.0), (4500.0, 200.0))
VOWELS: dict[str, Tract] = {
    "a": synthesis.VOWEL_A,
    "e": ((530.0, 60.0), (1840.0, 90.0), (2480.0, 120.0), *UPPER),
    "i": ((280.0, 50.0), (2250.0, 100.0), (2900.0, 120.0), *UPPER),
    "o": ((500.0, 60.0), (900.0, 80.0), (2300.0, 110.0), *UPPER),
    "u": ((310.0, 50.0), (870.0, 80.0), (2250.0, 110.0), *UPPER),
}
PERTURBED = ((0.0, 0.0), (0.003, 0.02), (0.008, 0.05), (0.015, 0.10))  # jitter, shimmer
NOISES_DB = (12.0, 18.0, 24.0, 30.0)
CORNERS_HZ = (50.0, 150.0, 400.0, 1000.0)
SUNG_S, REST_S = 1.6, 0.2


@dataclass(frozen=True, slots=True)
class Planted:
    """A take, what was planted in it, and the truth by the names of our measures."""

    what: str
    samples: Floats
    truth: dict[str, float]

    @property
    def audio(self) -> Audio:
        return Audio(self.samples.astype(np.float32), ANALYSIS_RATE)


def every(seed: int = 0) -> Iterator[Planted]:
    yield from _perturbed(seed)
    yield from _noisy(seed)
    yield from _shaped(seed)
    yield from _sloped(seed)


def _perturbed(seed: int) -> Iterator[Planted]:
    cases = product((100, 140, 200, 280), "aiu", PERTURBED)
    for number, (hz, vowel, (jitter, shimmer)) in enumerate(cases):
        voice = Voice(formants=VOWELS[vowel], jitter=jitter, shimmer=shimmer)
        sung = _between_rests(synthesis.contour(SUNG_S, hz), voice, seed + number)
        yield Planted("perturbation", _samples(sung), perturbations(sung))


def perturbations(sung: Sung) -> dict[str, float]:
    """From the glottal pulses and their amplitudes themselves."""
    spans, loud = np.diff(sung.pulses_s), sung.amplitudes
    level = 20 * np.log10(loud)
    return {
        "jitter_local": 100 * float(np.abs(np.diff(spans)).mean() / spans.mean()),
        "jitter_rap": 100 * _from_three(spans),
        "shimmer_local": 100 * float(np.abs(np.diff(loud)).mean() / loud.mean()),
        "shimmer_local_db": float(np.abs(np.diff(level)).mean()),
        "shimmer_apq3": 100 * _from_three(loud),
    }


def _from_three(values: Floats) -> float:
    average = (values[:-2] + values[1:-1] + values[2:]) / 3
    return float(np.abs(values[1:-1] - average).mean() / values.mean())


def _noisy(seed: int) -> Iterator[Planted]:
    """White noise under a steady voice, so that the ratio is the same at all times."""
    rng = np.random.default_rng([seed, 1])
    for hz, vowel, db in product((100, 150, 230), "ai", NOISES_DB):
        sung = synthesis.sing(synthesis.contour(SUNG_S, hz), Voice(formants=VOWELS[vowel]))
        clean = _samples(sung)
        noise = rng.standard_normal(len(clean))
        gain = np.sqrt(np.mean(clean**2) / np.mean(noise**2)) * 10 ** (-db / 20)
        yield Planted("noise", clean + gain * noise, {"hnr_db": db})


def _shaped(seed: int) -> Iterator[Planted]:
    """Small and large tracts, with F0 moving through them."""
    rng = np.random.default_rng([seed, 2])
    for hz, vowel, _ in product((90, 120, 170, 220), VOWELS, range(2)):
        size = rng.uniform(0.95, 1.02) if hz < 160 else rng.uniform(1.05, 1.13)
        wide = rng.uniform(0.8, 1.5)
        tract = tuple((size * centre, wide * width) for centre, width in VOWELS[vowel])
        glide = synthesis.glide(1.0, 0.92 * hz, 1.08 * hz)
        sung = _between_rests(glide, Voice(formants=tract, noise_db=-40.0), int(rng.integers(999)))
        truth = {f"f{i}_hz": centre for i, (centre, _) in enumerate(tract[:4], 1)}
        truth |= {f"f{i}_bandwidth_hz": width for i, (_, width) in enumerate(tract[:4], 1)}
        yield Planted("formants", _samples(sung), truth)


def _sloped(seed: int) -> Iterator[Planted]:
    """The truth keeps F4 and F5, which a correction for F1-F3 leaves in."""
    for hz, vowel, corner in product((110, 160, 220), "aeo", CORNERS_HZ):
        tract = VOWELS[vowel]
        voice = Voice(formants=tract, tilt_hz=corner, noise_db=-50.0)
        sung = _between_rests(synthesis.contour(SUNG_S, hz), voice, seed)
        first, second, third = (
            source_db(at, corner) + sum(gain_db(at, *pole) for pole in tract[3:])
            for at in (float(hz), 2.0 * hz, tract[2][0])
        )
        truth = {"h1_h2_db": first - second, "h1_a3_db": first - third}
        yield Planted("glottal slope", _samples(sung), truth)


def source_db(hz: float, corner_hz: float) -> float:
    """Level of the synthesiser's glottal source: two poles at the corner, and a differentiator."""
    turn = np.exp(-2j * np.pi * hz / RATE)
    pole = np.exp(-2 * np.pi * corner_hz / RATE)
    return float(20 * np.log10(np.abs((1 - turn) / (1 - pole * turn) ** 2)))


def gain_db(hz: float, centre: float, bandwidth: float) -> float:
    """What one resonance of the synthesiser's tract adds at `hz`, re 0 Hz."""
    turn, pole = (np.exp(-2j * np.pi * f / RATE) for f in (hz, centre - 0.5j * bandwidth))
    at = (1 - pole * turn) * (1 - np.conj(pole) * turn)
    return float(20 * np.log10(np.abs((1 - pole) * (1 - np.conj(pole)) / at)))


def _between_rests(f0_hz: Floats, voice: Voice, seed: int) -> Sung:
    rest = synthesis.rest(REST_S)
    return synthesis.sing(np.concatenate([rest, f0_hz, rest]), voice, seed)


def _samples(sung: Sung) -> Floats:
    return whole_frames(sung.audio.samples.astype(np.float64))
