"""What trackers made of a set of clips, and how right, how agreed and how well calibrated it is."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from training.evaluation.intervals import Interval, of_ratio
from training.evaluation.trackers import Curve, Track
from training.melody_metrics import TOLERANCE, Tally, errors, median_error, tally

SHARES = {  # of a Tally
    "OA": ("settled", "frames"),
    "RPA": ("pitch", "sounding"),
    "RCA": ("chroma", "sounding"),
    "VR": ("heard", "sounding"),
    "VFA": ("alarms", "silent"),
    "octaves": ("octaves", "heard"),
}
BINS = 10

Floats = NDArray[np.float64]
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Clips:
    """What is asked: takes at 16 kHz with their truth at every 10 ms (NaN: nobody knows)."""

    speakers: Sequence[str]
    takes: Sequence[Samples]
    truth: Sequence[NDArray[np.floating]]

    def some(self, every: int) -> "Clips":
        return Clips(self.speakers[::every], self.takes[::every], self.truth[::every])


@dataclass(frozen=True, slots=True)
class Answers:
    """What one tracker said to some clips, cut to the frames of the truth."""

    clips: Clips
    curves: list[Curve]
    cost: float  # CPU seconds per second of sound

    def share(self, name: str) -> Interval:
        """One of SHARES over all frames, and how it moves with the speakers."""
        part, whole = SHARES[name]
        counts: dict[str, tuple[float, float]] = {}
        for speaker, found in zip(self.clips.speakers, self.tallies(), strict=True):
            before = counts.get(speaker, (0.0, 0.0))
            counts[speaker] = before[0] + getattr(found, part), before[1] + getattr(found, whole)
        return of_ratio({name: pair for name, pair in counts.items() if pair[1]})

    def tallies(self) -> list[Tally]:
        return [
            tally(curve.hz, curve.voiced, truth)
            for curve, truth in zip(self.curves, self.clips.truth, strict=True)
        ]

    def error_cents(self) -> float:
        """Median over the frames that are rightly voiced."""
        pairs = zip(self.curves, self.clips.truth, strict=True)
        return median_error(errors(curve.hz, truth)[curve.voiced] for curve, truth in pairs)

    def some(self, every: int) -> "Answers":
        return Answers(self.clips.some(every), self.curves[::every], self.cost)

    def against(self, truth: Sequence[NDArray[np.floating]]) -> "Answers":
        """The same answers held against another truth."""
        return replace(self, clips=replace(self.clips, truth=truth))


def asked(track: Track, clips: Clips) -> Answers:
    """Take after take, on the clock of this process's CPU time."""
    before = time.process_time()
    curves = [track(take) for take in clips.takes]
    spent = time.process_time() - before
    seconds = sum(len(take) for take in clips.takes) / ANALYSIS_RATE
    counts = [len(truth) for truth in clips.truth]
    cut = [_cut(curve, count) for curve, count in zip(curves, counts, strict=True)]
    return Answers(clips, cut, spent / seconds)


def consensus(curves: Sequence[Curve]) -> Floats:
    """(frames,): F0 where at least two call it voiced and two of those agree within 50 cents.

    0 where all call it unvoiced, NaN where they differ otherwise. The F0 is the median of those
    who hear a voice: with three it is never the one that stands alone.
    """
    octaves = np.array([np.where(c.voiced, np.log2(np.maximum(c.hz, 1)), np.nan) for c in curves])
    ordered = np.sort(octaves, axis=0)  # NaN last
    nearest = np.fmin.reduce(np.diff(ordered, axis=0) * 1200)
    count = np.sum(~np.isnan(octaves), axis=0)
    frame = np.arange(len(count))
    middle = (ordered[np.maximum(count - 1, 0) // 2, frame] + ordered[count // 2, frame]) / 2
    agreed = np.where(nearest < TOLERANCE, 2**middle, np.nan)
    return np.where(count == 0, 0.0, agreed)


@dataclass(frozen=True, slots=True)
class Bin:
    """Frames called voiced with a confidence in one tenth of 0..1."""

    low: float
    frames: int
    confidence: float  # mean
    right: Interval  # share that is voiced in truth and within 50 cents


def reliability(answers: Sequence[Answers]) -> list[Bin]:
    """The bins that hold frames, from little confidence to much."""
    speakers, confidence, right = _called(answers)
    at = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return [
        Bin(
            index / BINS,
            int((at == index).sum()),
            float(confidence[at == index].mean()),
            _by_speaker(speakers[at == index], right[at == index]),
        )
        for index in range(BINS)
        if (at == index).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """ECE (Naeini et al. 2015): how far confidence is from the share that is right, by frame."""
    frames = np.array([one.frames for one in bins])
    gaps = np.array([abs(one.confidence - one.right.value) for one in bins])
    return float((frames * gaps).sum() / frames.sum()) if frames.sum() else float("nan")


def _called(
    answers: Sequence[Answers],
) -> tuple[NDArray[np.str_], Floats, NDArray[np.bool_]]:
    """Of all frames called voiced: the speaker, the confidence, and whether it was right."""
    speakers, confidences, rights = [np.zeros(0, str)], [np.zeros(0)], [np.zeros(0, bool)]
    for answer in answers:
        rows = zip(answer.clips.speakers, answer.curves, answer.clips.truth, strict=True)
        for speaker, curve, truth in rows:
            assert curve.confidence is not None
            asked_of = curve.voiced & ~np.isnan(truth)
            confidences.append(curve.confidence[asked_of])
            rights.append((np.abs(errors(curve.hz, truth)) < TOLERANCE)[asked_of])
            speakers.append(np.full(int(asked_of.sum()), speaker))
    return np.concatenate(speakers), np.concatenate(confidences), np.concatenate(rights)


def _by_speaker(speakers: NDArray[np.str_], right: NDArray[np.bool_]) -> Interval:
    return of_ratio(
        {
            str(name): (float(right[speakers == name].sum()), float((speakers == name).sum()))
            for name in np.unique(speakers)
        }
    )


def _cut(curve: Curve, count: int) -> Curve:
    """To `count` frames; silence where the tracker stopped before."""
    short = max(0, count - len(curve.hz))
    hz, voiced = np.pad(curve.hz, (0, short))[:count], np.pad(curve.voiced, (0, short))[:count]
    if curve.confidence is None:
        return Curve(hz, voiced)
    return Curve(hz, voiced, np.pad(curve.confidence, (0, short))[:count])
