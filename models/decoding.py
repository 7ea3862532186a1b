"""From scores for every pitch in every frame to the one path a voice took (Viterbi 1967)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.pitchnet import PER_OCTAVE, bin_to_hz

PEAKS = 5  # candidates kept of each frame
NEAR = 3  # bins each side of a peak that are averaged: the resolution is far under a bin
LEAST = 1e-4  # of the probability: a candidate below is out
TRUST = 0.5  # weight of the pitch's probability against the voicing's
MOVE = 2.0  # cost per semitone moved in 10 ms, beyond what a voice does anyway
FREE = 0.5  # semitones in 10 ms
SWITCH = 2.0  # cost of starting or ending to voice
NEVER = 1e9

Floats = NDArray[np.float64]


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
    voiced: NDArray[np.bool_]  # (frames,)
    confidence: Floats  # (frames,)


def candidates(pitch: Tensor, voicing: Tensor) -> Candidates:
    """The highest peaks of logits (batch, frames, bins), each with its local weighted mean."""
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


def follow(found: Candidates, counts: list[int]) -> list[Path]:
    """The most likely path of each take; frames from its count on are padding."""
    bins = found.bins.double().cpu().numpy()
    mass = found.mass.double().cpu().numpy()
    voicing = found.voicing.double().cpu().numpy()
    real = np.arange(bins.shape[1]) < np.array(counts)[:, None]
    states = _viterbi(_gains(mass, voicing, real), _costs(bins, real))
    hz = bin_to_hz(found.bins.double()).cpu().numpy()
    return [
        _path(hz[row, :count], mass[row, :count], voicing[row, :count], states[row, :count])
        for row, count in enumerate(counts)
    ]


def _gains(mass: Floats, voicing: Floats, real: NDArray[np.bool_]) -> Floats:
    """(batch, frames, PEAKS + 1): log probability of each candidate and, last, of no voice."""
    v = np.clip(voicing, 1e-6, 1 - 1e-6)[..., None]
    voiced = np.log(v) + TRUST * np.log(np.maximum(mass, LEAST))
    voiced = np.where(mass > LEAST, voiced, -NEVER)
    gains = np.concatenate([voiced, np.log(1 - v)], -1)
    return np.where(real[..., None], gains, 0.0)


def _costs(bins: Floats, real: NDArray[np.bool_]) -> Floats:
    """(batch, frames - 1, to, from): what each step costs; nothing in the padding."""
    semitones = np.abs(bins[:, 1:, :, None] - bins[:, :-1, None, :]) * 12 / PER_OCTAVE
    shape = (*semitones.shape[:2], PEAKS + 1, PEAKS + 1)
    costs = np.full(shape, SWITCH)
    costs[..., :PEAKS, :PEAKS] = MOVE * np.maximum(semitones - FREE, 0)
    costs[..., PEAKS, PEAKS] = 0
    np.minimum(costs, 2 * SWITCH, out=costs)  # a leap costs no more than stopping and starting
    return np.where(real[:, 1:, None, None], costs, 0.0)


def _viterbi(gains: Floats, costs: Floats) -> NDArray[np.intp]:
    """(batch, frames): the states of the best path."""
    batch, frames, states = gains.shape
    came_from = np.zeros((batch, frames, states), np.intp)
    score = gains[:, 0] if frames else gains.sum(1)
    for t in range(1, frames):
        arriving = score[:, None, :] - costs[:, t - 1]
        came_from[:, t] = arriving.argmax(-1)
        score = arriving.max(-1) + gains[:, t]
    path = np.zeros((batch, frames), np.intp)
    rows, state = np.arange(batch), score.argmax(-1)
    for t in range(frames - 1, -1, -1):
        path[:, t] = state
        state = came_from[rows, t, state]
    return path


def _path(hz: Floats, mass: Floats, voicing: Floats, states: NDArray[np.intp]) -> Path:
    voiced = states < PEAKS
    chosen = np.where(voiced, states, mass.argmax(-1))[:, None]
    at, near = (np.take_along_axis(values, chosen, 1)[:, 0] for values in (hz, mass))
    return Path(at, voiced, np.clip(voicing * near, 0.0, 1.0))
