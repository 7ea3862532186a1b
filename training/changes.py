"""What may be done to a take, and by how much each measure may move: METHODS' invariances."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pyworld
import soxr
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from models.results import Analysis, FamilyResult, Pitch

F0 = "pitch.f0_hz"  # not a measure: the curve, frame by frame
RATES = ("fluency.articulation_rate_sps", "fluency.speech_rate_sps")
FORMANTS = ("timbre.f1_hz", "timbre.f2_hz", "timbre.f3_hz")
DECIBELS = ("timbre.hnr_db", "timbre.cpps_db")
PERIOD_MS = 5.0
FASTER, HIGHER = 1.1, 2 ** (3 / 12)
PEAK = 0.09  # before a gain of 20 dB


class Lost:
    """Measured on one side only."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """How far a measure may be from `times` what it was."""

    most: float
    unit: Literal["%", "dB", "cents", "Hz"]
    times: float = 1.0

    def __str__(self) -> str:
        return f"{self.most:g} {self.unit}"

    def off(self, before: float, after: float) -> float:
        expected = self.times * before
        if self.unit == "%":
            return 100 * (after - expected) / abs(expected) if expected else 100 * after
        if self.unit == "cents":
            return float(1200 * np.log2(after / expected))
        return after - expected


def itself(take: Audio) -> Audio:
    return take


@dataclass(frozen=True, slots=True)
class Change:
    name: str
    applied: Callable[[Audio], Audio]
    allowed: Mapping[str, Allowed]
    compared: Callable[[Audio], Audio] = itself  # what the changed take is held against
    faster: float = 1.0
    later_s: float = 0.0


def deviations(
    change: Change, name: str, pairs: Iterable[tuple[Analysis, Analysis]]
) -> list[float | Lost]:
    """From what a measure should be, in the unit of what is allowed; one a take that has it."""
    found = (_deviation(change, name, *pair) for pair in pairs)
    return [one for one in found if one is not None]


def _deviation(change: Change, name: str, before: Analysis, after: Analysis) -> float | Lost | None:
    if name == F0:
        return _moved(change, before, after)
    one, two = value(before, name), value(after, name)
    if one is None and two is None:
        return None
    if one is None or two is None:
        return Lost()
    return change.allowed[name].off(one, two)


def _moved(change: Change, before: Analysis, after: Analysis) -> float | Lost | None:
    """The median deviation of F0 over the frames that are voiced in both takes.

    The median of each take by itself would move with every frame at the margin of being voiced.
    """
    old, new = (_curve(one.pitch) for one in (before, after))
    times = np.arange(len(old)) * before.pitch.hop_s / change.faster + change.later_s
    there = np.interp(times, np.arange(len(new)) * after.pitch.hop_s, new)
    both = ~np.isnan(old) & ~np.isnan(there)
    if not both.any():
        return None if np.isnan(old).all() and np.isnan(new).all() else Lost()
    allowed = change.allowed[F0]
    return float(
        np.median([abs(allowed.off(*p)) for p in zip(old[both], there[both], strict=True)])
    )


def _curve(pitch: Pitch) -> NDArray[np.float64]:
    return np.array([np.nan if hz is None else hz for hz in pitch.f0_hz] or [np.nan])


def value(analysis: Analysis, name: str) -> float | None:
    """A measure such as 'timbre.hnr_db'."""
    family, measure = name.split(".")
    result: FamilyResult = getattr(analysis, family)
    found = result.measures.get(measure)
    return found.value if found else None


def gained(take: Audio, db: float) -> Audio:
    """At a peak that leaves room for 20 dB, and then louder or quieter."""
    peak = np.abs(take.samples).max(initial=1e-9)
    return Audio(np.float32(PEAK / peak * 10 ** (db / 20)) * take.samples, take.sample_rate)


def inverted(take: Audio) -> Audio:
    return Audio(-take.samples, take.sample_rate)


def offset(take: Audio) -> Audio:
    return Audio(take.samples + np.float32(0.1), take.sample_rate)


def surrounded(take: Audio) -> Audio:
    """A second of silence before and after."""
    return Audio(np.pad(take.samples, take.sample_rate), take.sample_rate)


def resampled(take: Audio) -> Audio:
    """To 44.1 kHz and back."""
    up = soxr.resample(take.samples, take.sample_rate, 44_100, quality="VHQ")
    down = soxr.resample(up, 44_100, take.sample_rate, quality="VHQ")
    return Audio(down.astype(np.float32), take.sample_rate)


def faster(take: Audio) -> Audio:
    """Played 1.1 times as fast: shorter and higher."""
    down = soxr.resample(take.samples, FASTER * take.sample_rate, take.sample_rate, quality="VHQ")
    return Audio(down.astype(np.float32), take.sample_rate)


def rebuilt(take: Audio, times: float = 1.0) -> Audio:
    """Taken apart and put together again by WORLD, the F0 multiplied."""
    sound = take.samples.astype(np.float64)
    rough, at = pyworld.harvest(sound, ANALYSIS_RATE, frame_period=PERIOD_MS)
    f0 = pyworld.stonemask(sound, rough, at, ANALYSIS_RATE)
    envelope = pyworld.cheaptrick(sound, f0, at, ANALYSIS_RATE)
    noise = pyworld.d4c(sound, f0, at, ANALYSIS_RATE)
    made = pyworld.synthesize(times * f0, envelope, noise, ANALYSIS_RATE, PERIOD_MS)
    return Audio(made[: len(sound)].astype(np.float32), ANALYSIS_RATE)


def _all(most: float, *names: str) -> dict[str, Allowed]:
    return {name: Allowed(most, "%") for name in names}


UNMOVED = {
    **_all(0.5, F0, *FORMANTS, "timbre.jitter_local", *RATES),
    **{name: Allowed(0.1, "dB") for name in DECIBELS},
}
RESAMPLED = {
    F0: Allowed(2, "cents"),
    **{name: Allowed(5, "Hz") for name in FORMANTS},
    "timbre.hnr_db": Allowed(0.3, "dB"),
}
SPED = {F0: Allowed(5, "cents", FASTER), **{name: Allowed(2, "%", FASTER) for name in RATES}}
RAISED = {F0: Allowed(5, "cents", HIGHER), **_all(1.0, *RATES)}
CHANGES = (
    Change("gain -40 dB", partial(gained, db=-40.0), UNMOVED),
    Change("gain +20 dB", partial(gained, db=20.0), UNMOVED),
    Change("polarity", inverted, UNMOVED),
    Change("DC offset 0.1", offset, UNMOVED),
    Change("1 s of silence around", surrounded, UNMOVED, later_s=1.0),
    Change("16 to 44.1 to 16 kHz", resampled, RESAMPLED),
    Change("1.1 times as fast", faster, SPED, faster=FASTER),
    Change("WORLD, +3 semitones", partial(rebuilt, times=HIGHER), RAISED, rebuilt),
)
