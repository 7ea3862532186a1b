"""From scores for every pitch in every frame to the one path a voice took."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import finite
from models.pitchnet import PER_OCTAVE, bin_to_hz
from models.viterbi import best_path

PEAKS = 5  # candidates kept of each frame
NEAR = 3  # bins each side of a peak that are averaged: the resolution is far under a bin
LEAST = 1e-4  # of the probability: a candidate below is out
TRUST = 0.5  # weight of the pitch's probability against the voicing's
MOVE = 2.0  # cost per semitone moved in 10 ms, beyond what a voice does anyway
FREE = 0.5  # semitones in 10 ms
SWITCH = 2.0  # cost of starting or ending to voice
NEVER = 1e9
AT_ONCE = 100_000  # frames, those of padding too: 1.5 kB each

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Candidates:
    """What each frame offers. Small: all that is kept of the network's answer."""

    bins: Tensor  # (batch, frames, PEAKS): fractional position
    mass: Tensor  # (batch, frames, PEAKS): probability around it
    voicing: Tensor  # (batch, frames): probability


@dataclass(frozen=True, slots=True)
class Path:
    """The way through one take. `hz` has a best guess in unvoiced frames too."""

    hz: Floats  # (frames,)
    voiced: Flags  # (frames,)
    confidence: Floats  # (frames,)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How often a frame was right, by what the network said: logistic regression (Platt 1999)."""

    voicing: float  # weight of the logit of the voicing's probability
    mass: float  # weight of the logit of the probability around the pitch
    bias: float

    @classmethod
    def read(cls, metadata: Mapping[str, str]) -> Self | None:
        """As kept beside the weights; None where they were not calibrated."""
        kept = metadata.get("calibration")
        return cls(**json.loads(kept)) if kept else None

    def metadata(self) -> dict[str, str]:
        return {"calibration": json.dumps(asdict(self))}


def confidence(voicing: Floats, mass: Floats, calibration: Calibration | None = None) -> Floats:
    """How probable it is that there is a voice at this pitch, within half a semitone.

    Without a calibration, the network's own word: the product of its two probabilities.
    """
    if calibration is None:
        return np.clip(voicing * mass, 0.0, 1.0)
    score = calibration.voicing * logit(voicing) + calibration.mass * logit(mass)
    return np.asarray(1 / (1 + np.exp(-score - calibration.bias)))


def logit(probability: Floats) -> Floats:
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def candidates(pitch: Tensor, voicing: Tensor) -> Candidates:
    """The highest peaks of logits (batch, frames, bins), each with its local weighted mean.

    Raises NotFinite.
    """
    finite.require(pitch, voicing)
    p = torch.softmax(pitch, -1)
    padded = torch.nn.functional.pad(p, (1, 1), value=-1.0)
    is_peak = (p >= padded[..., :-2]) & (p > padded[..., 2:])
    height, at = torch.where(is_peak, p, p.new_zeros(())).topk(PEAKS, -1)
    offsets = torch.arange(-NEAR, NEAR + 1, device=p.device)
    index = at[..., None] + offsets  # (batch, frames, PEAKS, 2 NEAR + 1)
    inside = (index >= 0) & (index < p.shape[-1])
    index = index.clamp(0, p.shape[-1] - 1)
    weight = p.gather(-1, index.flatten(-2)).view(index.shape) * inside
    mass = weight.sum(-1)
    mean = (weight * index).sum(-1) / mass.clamp_min(1e-12)
    return Candidates(mean, torch.where(height > 0, mass, 0.0), torch.sigmoid(voicing))


def follow(
    found: Candidates, counts: Sequence[int], calibration: Calibration | None = None
) -> list[Path]:
    """The most likely path of each take; frames from its count on are padding."""
    few = max(1, AT_ONCE // found.bins.shape[1])
    return [
        path
        for row in range(0, len(counts), few)
        for path in _followed(found, slice(row, row + few), counts[row : row + few], calibration)
    ]


def _followed(
    found: Candidates, rows: slice, counts: Sequence[int], calibration: Calibration | None
) -> list[Path]:
    hz = bin_to_hz(found.bins[rows].double()).cpu().numpy()
    bins, mass, voicing = (
        values[rows].double().cpu().numpy() for values in (found.bins, found.mass, found.voicing)
    )
    real = np.arange(bins.shape[1]) < np.array(counts)[:, None]
    given = gains(mass, voicing) * real[..., None]
    states = best_path(given[:, 0], steps(bins, given, real))
    return [
        along(
            hz[row, :count],
            mass[row, :count],
            voicing[row, :count],
            states[row, :count],
            calibration,
        )
        for row, count in enumerate(counts)
    ]


def gains(mass: Floats, voicing: Floats) -> Floats:
    """(batch, frames, PEAKS + 1): log probability of each candidate and, last, of no voice."""
    v = np.clip(voicing, 1e-6, 1 - 1e-6)[..., None]
    voiced = np.log(v) + TRUST * np.log(np.maximum(mass, LEAST))
    voiced[mass <= LEAST] = -NEVER
    return np.concatenate([voiced, np.log(1 - v)], -1)


def steps(bins: Floats, given: Floats, real: Flags) -> Floats:
    """(frames - 1, from, to, batch): what it gives to go on to each state; 0 in the padding."""
    at = np.ascontiguousarray(bins.transpose(1, 2, 0))  # (frames, PEAKS, batch)
    semitones = np.abs(at[1:, None] - at[:-1, :, None]) * (12 / PER_OCTAVE)
    cost = np.full((len(at) - 1, PEAKS + 1, PEAKS + 1, len(bins)), SWITCH)
    # a leap costs no more than stopping and starting
    cost[:, :PEAKS, :PEAKS] = np.clip(MOVE * (semitones - FREE), 0, 2 * SWITCH)
    cost[:, PEAKS, PEAKS] = 0
    cost *= real[:, 1:].T[:, None, None]
    return np.asarray(given[:, 1:].transpose(1, 2, 0)[:, None] - cost)


def along(
    hz: Floats,
    mass: Floats,
    voicing: Floats,
    states: NDArray[np.intp],
    calibration: Calibration | None,
) -> Path:
    """The path of a take through these states: (frames, PEAKS), but for voicing (frames,)."""
    voiced = states < PEAKS
    chosen = np.where(voiced, states, mass.argmax(-1))[:, None]
    at, near = (np.take_along_axis(values, chosen, 1)[:, 0] for values in (hz, mass))
    return Path(at, voiced, confidence(voicing, near, calibration))
