"""The melody of speech: F0 in semitones, phrase by phrase."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import find_peaks

from models import utterance
from models.results import Activity, Measure, Phrase, Pitch, Span
from models.utterance import HOP_S, Answers, Floats, Mask

INDEPENDENT_S = 0.2  # voiced frames nearer than a syllable say the same thing twice
SHORTEST_PHRASE_S = 0.5  # with a slope of its own
FINAL_S = 0.25  # of voiced sound at the end of a phrase
MOVED_SEMITONES = 1.3  # heard as a glide over that time: 0.32 / T^2 ('t Hart 1976; Mertens 2004)
ACCENT_SEMITONES = 1.5  # prominence of a pitch accent on the smoothed melody
ACCENT_SMOOTHING = np.hanning(13)[1:-1] / np.hanning(13).sum()  # 110 ms
TOLERANCE_SEMITONES = 1.0  # of the stylised contour
SHORTEST_STRETCH = 3  # frames of a contour
FEWEST_PHRASES = 3

Movement = Literal["rise", "fall", "level"]


@dataclass(frozen=True, slots=True)
class Melody:
    """F0 of the speech as semitones re its own median; NaN where unvoiced."""

    semitones: Floats  # (frames,), every 10 ms
    phrases: list[Span]

    @property
    def voiced(self) -> Mask:
        return np.isfinite(self.semitones)

    def within(self, span: Span) -> tuple[Floats, Floats]:
        """Times and semitones of the voiced frames of a phrase."""
        start, end = int(np.ceil(span[0] / HOP_S)), int(span[1] / HOP_S) + 1
        part = self.semitones[start:end]
        heard = np.isfinite(part)
        return np.asarray((start + np.flatnonzero(heard)) * HOP_S), part[heard]


def read(activity: Activity, pitch: Pitch, frames: int) -> Melody:
    phrases = utterance.runs(activity.speech_s)
    f0 = utterance.voicing(pitch, frames)
    f0[~utterance.inside(phrases, frames)] = np.nan
    heard = f0[np.isfinite(f0)]
    return Melody(12 * np.log2(f0 / np.median(heard)) if heard.size else f0, phrases)


def stylise(semitones: Floats, tolerance: float = TOLERANCE_SEMITONES) -> list[list[Span]]:
    """Corners (seconds, semitones) of each voiced stretch; straight lines between them stay
    within the tolerance of every frame (Ramer 1972; Douglas & Peucker 1973)."""
    edges = np.flatnonzero(np.diff(np.pad(np.isfinite(semitones), 1).astype(np.int8)))
    return [
        [(float((start + i) * HOP_S), float(semitones[start + i])) for i in corners]
        for start, end in edges.reshape(-1, 2)
        if end - start >= SHORTEST_STRETCH
        for corners in [_corners(semitones[start:end], tolerance)]
    ]


def spread(melody: Melody) -> Answers:
    heard = melody.semitones[melody.voiced]
    low, high = np.quantile(heard, (0.05, 0.95))
    deviation, independent = float(heard.std()), len(heard) * HOP_S / INDEPENDENT_S
    spans = utterance.evidence(melody.phrases)

    def measure(value: float, error: float) -> Measure:
        return Measure(value=value, unit="semitones", standard_error=error, evidence_s=spans)

    return {  # errors of a normal spread: 2.99 is the 5-95 % range's, from its quantiles' density
        "f0_range_semitones": measure(float(high - low), 2.99 * deviation / independent**0.5),
        "f0_sd_semitones": measure(deviation, deviation / (2 * independent) ** 0.5),
    }


def phrase(melody: Melody, span: Span) -> Phrase:
    times, semitones = melody.within(span)
    declination = None
    if len(times) * HOP_S >= SHORTEST_PHRASE_S:
        declination = slope(times, semitones)
    return Phrase(
        start_s=span[0],
        end_s=span[1],
        declination_semitones_per_s=declination,
        final_movement=_final(times, semitones),
    )


def movement(phrases: Sequence[Phrase]) -> Answers:
    sloped = [p for p in phrases if p.declination_semitones_per_s is not None]
    slopes = np.array([p.declination_semitones_per_s for p in sloped], np.float64)
    lasting = np.array([p.end_s - p.start_s for p in sloped])
    ended = [p for p in phrases if p.final_movement is not None]
    answers: Answers = {
        "declination_semitones_per_s": utterance.too_few(
            len(sloped), 1, f"phrases of {SHORTEST_PHRASE_S} s"
        ),
        "final_rise_share": utterance.too_few(len(ended), FEWEST_PHRASES, "phrase ends"),
    }
    if sloped:
        mean = float(np.average(slopes, weights=lasting))
        scatter = float(np.average((slopes - mean) ** 2, weights=lasting)) ** 0.5
        answers["declination_semitones_per_s"] = Measure(
            value=mean,
            unit="semitones/s",
            standard_error=scatter / (len(sloped) - 1) ** 0.5 if len(sloped) > 1 else None,
            evidence_s=utterance.evidence([(p.start_s, p.end_s) for p in sloped]),
        )
    if len(ended) >= FEWEST_PHRASES:
        share = sum(p.final_movement == "rise" for p in ended) / len(ended)
        answers["final_rise_share"] = Measure(
            value=share,
            unit="1",
            standard_error=(max(share * (1 - share), 0.1) / len(ended)) ** 0.5,
            evidence_s=utterance.evidence(
                [(max(p.end_s - 0.5, p.start_s), p.end_s) for p in ended]
            ),
        )
    return answers


def accents(melody: Melody) -> Answers:
    """Peaks of the melody, bridged over unvoiced sounds, per second of speech."""
    times = np.concatenate([_peaks(*melody.within(span)) for span in melody.phrases])
    spoken_s = sum(end - start for start, end in melody.phrases)
    near = [(max(t - 0.1, 0.0), t + 0.1) for t in times]
    density = Measure(
        value=len(times) / spoken_s,
        unit="1/s",
        standard_error=max(len(times), 1) ** 0.5 / spoken_s,  # of a Poisson count
        evidence_s=utterance.evidence(utterance.runs(near or melody.phrases)),
    )
    return {"accent_density": density}


def _corners(curve: Floats, tolerance: float) -> list[int]:
    """Frames at which the curve bends, its ends included."""
    kept, open_parts = {0, len(curve) - 1}, [(0, len(curve) - 1)]
    while open_parts:
        first, last = open_parts.pop()
        if last - first < 2:
            continue
        line = np.linspace(curve[first], curve[last], last - first + 1)
        away = np.abs(curve[first : last + 1] - line)
        if away.max() > tolerance:
            bend = first + int(away.argmax())
            kept.add(bend)
            open_parts += [(first, bend), (bend, last)]
    return sorted(kept)


def slope(times: Floats, values: Floats) -> float:
    """Least squares."""
    centred = times - times.mean()
    return float(centred @ values / (centred @ centred))


def _final(times: Floats, semitones: Floats) -> Movement | None:
    """How the last quarter second of voiced sound moves; None if it is broken or missing."""
    count = round(FINAL_S / HOP_S)
    times, semitones = times[-count:], semitones[-count:]
    if len(times) < count or times[-1] - times[0] > 2 * FINAL_S:
        return None
    moved = slope(times, semitones) * FINAL_S
    if abs(moved) < MOVED_SEMITONES:
        return "level"
    return "rise" if moved > 0 else "fall"


def _peaks(times: Floats, semitones: Floats) -> Floats:
    if len(times) < len(ACCENT_SMOOTHING):
        return np.zeros(0)
    grid = np.arange(times[0], times[-1] + HOP_S / 2, HOP_S)
    half = len(ACCENT_SMOOTHING) // 2
    bridged = np.pad(np.interp(grid, times, semitones), half, mode="edge")
    smooth = np.convolve(bridged, ACCENT_SMOOTHING, "valid")
    walled = np.insert(smooth, 0, smooth.min() - 1e-3)  # a fall from the first frame is an accent
    return np.asarray(grid[find_peaks(walled, prominence=ACCENT_SEMITONES)[0] - 1])
