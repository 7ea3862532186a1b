"""Vibrato of a sung note: rate, extent, regularity and onset, by fitting sinusoids to its F0."""

import numpy as np
from numpy.typing import NDArray

from models.results import Vibrato

SHORTEST_S = 0.5  # of a note
WINDOW_S = 0.4  # fitted at a time: two cycles of a slow vibrato
STEP_S = 0.05
RATES = np.arange(4.0, 8.01, 0.1)  # Hz
LEAST_CENTS = 12.0  # half of peak to peak: less is the unsteadiness of a straight tone
LEAST_FIT = 0.6  # share of the window's variance that the sinusoid explains

Floats = NDArray[np.float64]


def find(midi: Floats, hop_s: float) -> Vibrato | None:
    """Vibrato of one note's F0 in semitones, or None where it has none or is under 0.5 s.

    Each 0.4 s window is fitted with a line and a sinusoid of 4-8 Hz by least squares; the note
    has vibrato if at least a third of them agree, and it begins where the first of those does.
    """
    width, step = round(WINDOW_S / hop_s), round(STEP_S / hop_s)
    if len(midi) * hop_s < SHORTEST_S:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(100 * midi, width)[::step]
    rate, extent, share = _fits(windows, hop_s)
    inside = (rate > RATES[0]) & (rate < RATES[-1])
    shaking = (extent >= LEAST_CENTS) & (share >= LEAST_FIT) & inside
    if shaking.mean() < 1 / 3 or shaking.sum() < 3:
        return None
    steadiness = 1 - min(1.0, float(np.std(rate[shaking]) / np.mean(rate[shaking])) * 3)
    return Vibrato(
        rate_hz=float(np.median(rate[shaking])),
        extent_cents=float(np.median(extent[shaking])),
        regularity=float(np.clip(share[shaking].mean() * steadiness, 0, 1)),
        onset_delay_s=_onset(shaking) * step * hop_s,
    )


def _onset(shaking: NDArray[np.bool_]) -> int:
    """The first window that shakes; one alone at the start may be the attack."""
    follows = shaking[:-1] & shaking[1:]
    return int(np.argmax(follows)) if follows.any() else int(np.argmax(shaking))


def _fits(windows: Floats, hop_s: float) -> tuple[Floats, Floats, Floats]:
    """Rate in Hz, amplitude in cents and explained share of the best sinusoid in each window."""
    width = windows.shape[1]
    t = (np.arange(width) - (width - 1) / 2) * hop_s
    line = np.linalg.qr(np.stack([np.ones(width), t], 1))[0]  # (width, 2)
    left = windows - windows @ line @ line.T
    angles = 2 * np.pi * RATES[:, None] * t
    waves = np.stack([np.cos(angles), np.sin(angles)], -1)  # (rates, width, 2)
    waves -= line @ (line.T @ waves)
    basis, triangle = np.linalg.qr(waves)
    heights = np.einsum("nw,rwk->nrk", left, basis)
    power = np.sum(heights**2, -1)  # (windows, rates): explained
    best = power.argmax(1)
    rows = np.arange(len(windows))
    weights = np.linalg.solve(triangle[best], heights[rows, best][..., None])[..., 0]
    share = power[rows, best] / np.maximum(np.sum(left**2, 1), 1e-9)
    return _between(power, best), np.hypot(weights[:, 0], weights[:, 1]), share


def _between(power: Floats, best: NDArray[np.intp]) -> Floats:
    """The rate at the top of the parabola through the best rate and its neighbours."""
    rows, last = np.arange(len(best)), len(RATES) - 1
    low, high = np.maximum(best - 1, 0), np.minimum(best + 1, last)
    a, b, c = power[rows, low], power[rows, best], power[rows, high]
    bend = a - 2 * b + c
    shift = np.where(bend < 0, 0.5 * (a - c) / np.where(bend < 0, bend, -1.0), 0.0)
    edge = (best == 0) | (best == last)
    return np.asarray(RATES[best] + np.where(edge, 0.0, shift) * (RATES[1] - RATES[0]))
