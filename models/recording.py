"""What room and equipment did to a voice: the evidence of network and signal joined."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
import torch
from numpy.typing import NDArray

from models import claritynet, conditions
from models.claritynet import ClarityNet

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SUREST = np.array([0.7, 0.2, 1.0, 0.1])  # of each output: no network is surer than that
ACTIVE_DB = 30.0  # a voice's level is that of the frames this far under its loudest
FEWEST = 10  # frames of voice in a window that is listened to
SHORTEST_S, LONGEST_S = 0.1, 3.0  # reverberation times that are told apart
CLEAREST_DB = 30.0  # C50: more makes no difference
PAUSE_ERROR_DB = 1.0  # of the ratio that steady noise in pauses tells
UNSTEADY_ERROR_DB = 2.5  # and noise that comes and goes
APART_DB = 3.0  # the pauses hold more than steady noise
HARDLY_DB = 36.0  # the network hears no difference between ratios over this
EDGE, EDGE_ERROR = 0.1, 0.04  # of the spectrum's edge: as far as the network may differ, its error
LOWEST_HZ = 500.0
# Cumulative band importance for speech (ANSI S3.5-1997, octave bands) as a share of what lies
# under 5 kHz: more band is more pleasant, but hardly a syllable more is understood.
IMPORTANCE = (
    (177, 354, 707, 1414, 2828, 5000),
    (0.0, 0.069, 0.252, 0.514, 0.805, 1.0),
)
TRIM = 1e-5  # of the take's range: ends that keep closer to one value are digital silence


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its standard deviation."""

    value: float
    error: float

    def within(self, tolerance: float) -> float:
        """The probability that the truth is that near, if errors are normal."""
        return erf(tolerance / (self.error * sqrt(2)))


@dataclass(frozen=True, slots=True)
class Voice:
    """A take without digital silence at its ends, and where its voice is, every 10 ms."""

    samples: Floats  # 16 kHz, without DC
    power: Floats
    sounding: Mask  # speech or voiced
    hum: float  # power of mains lines


@dataclass(frozen=True, slots=True)
class Findings:
    """What was done to the voice; `t60` is in octaves re 1 s."""

    snr_db: Estimate
    t60: Estimate
    c50_db: Estimate
    width_hz: Estimate


def ends(samples: Floats) -> tuple[int, int]:
    """Where a take's sound begins, on a whole frame, and where it ends."""
    near = TRIM * float(np.ptp(samples)) if len(samples) else 0.0
    first = np.flatnonzero(np.abs(samples - samples[:1]) > near)
    last = np.flatnonzero(np.abs(samples - samples[-1:]) > near)
    if not len(first):
        return 0, len(samples)
    return int(first[0]) // conditions.HOP * conditions.HOP, int(last[-1]) + 1


def joined(estimates: Sequence[Estimate]) -> Estimate:
    """The mean, each weighted by its inverse variance."""
    weights = np.array([one.error**-2 for one in estimates])
    value = float(np.dot(weights, [one.value for one in estimates]) / weights.sum())
    return Estimate(value, float(weights.sum() ** -0.5))


def find(network: ClarityNet, voice: Voice) -> Findings | None:
    """What was done to the voice; None where there is none."""
    if len(voice.power) < claritynet.SHORTEST or not voice.sounding.any():
        return None
    told = claritynet.listen(network, torch.tensor(voice.samples, dtype=torch.float32))
    mean = told.mean.double().numpy()
    error = np.maximum(told.deviation.double().numpy(), SUREST)
    size = min(claritynet.WINDOW, len(voice.power))
    spans = [slice(start, start + size) for start in claritynet.starts(len(voice.power))]
    frames = np.array([int(voice.sounding[span].sum()) for span in spans], np.float64)
    frames[frames < min(FEWEST, frames.max())] = 0
    levels = np.array([_active(voice.power[span], voice.sounding[span]) for span in spans])
    weights = frames / frames.sum()
    snr = _over_windows(mean[:, 0], error[:, 0], weights, levels)
    t60, c50, width = (_mean(mean[:, i], error[:, i], weights) for i in (1, 2, 3))
    return Findings(
        snr_db=_with_hum(_with_pauses(snr, voice), voice),
        t60=t60,
        c50_db=Estimate(min(c50.value, CLEAREST_DB), c50.error),
        width_hz=_with_edge(width, voice),
    )


def _active(power: Floats, sounding: Mask) -> float:
    """Mean power of the frames that hold the voice, noise included."""
    heard = power[sounding]
    if not len(heard):
        return 0.0
    return float(heard[heard >= heard.max() * 10 ** (-ACTIVE_DB / 10)].mean())


def _over_windows(mean: Floats, error: Floats, weights: Floats, levels: Floats) -> Estimate:
    """The ratio of the powers, not the mean of the ratios."""
    ratio = 10 ** (mean / 10)
    speech, noise = levels * ratio / (1 + ratio), levels / (1 + ratio)
    db = 10 * np.log10(np.dot(weights, speech) / np.dot(weights, noise))
    return Estimate(float(db), float(np.sqrt(np.dot(weights, error**2))))


def _mean(mean: Floats, error: Floats, weights: Floats) -> Estimate:
    """The windows' errors come from the same room and voice: they do not average out."""
    sure = weights / error**2
    value = float(np.dot(sure, mean) / sure.sum())
    return Estimate(value, float(np.sqrt(np.dot(weights, error**2))))


def _with_pauses(heard: Estimate, voice: Voice) -> Estimate:
    """What the pauses say too, where there are any and it is not beside what the network heard.

    Pauses tell steady noise to a fraction of a dB and miss what comes with the voice only.
    """
    ratios = _pauses(voice)
    if not ratios:
        return heard
    steady, whole = ratios
    told = Estimate(steady, PAUSE_ERROR_DB)
    if steady - whole > APART_DB and abs(whole - heard.value) < abs(steady - heard.value):
        told = Estimate(whole, UNSTEADY_ERROR_DB)
    if told.value > heard.value > HARDLY_DB:
        return told
    away = abs(told.value - heard.value)
    doubtful = away > 3 * np.hypot(heard.error, told.error)
    return joined([heard, Estimate(told.value, away) if doubtful else told])


def _pauses(voice: Voice) -> tuple[float, float] | None:
    """The voice over the steady part of the pauses, and over all that they hold; in dB."""
    pause = voice.power[conditions.pauses(voice.sounding)]
    loud = _active(voice.power, voice.sounding)
    heard = pause[pause > loud * 10 ** (-conditions.HIGHEST_SNR_DB / 10)]
    if len(pause) < conditions.FEWEST_GAPS:
        return None
    if len(heard) < conditions.FEWEST_GAPS:  # digital silence
        return conditions.HIGHEST_SNR_DB, conditions.HIGHEST_SNR_DB
    quiet = float(np.sort(heard)[: -(-len(heard) // 2)].mean())
    steady = float(heard[heard <= 10 * quiet].mean())
    return _ratio_db(loud, steady), _ratio_db(loud, float(heard.mean()))


def _ratio_db(both: float, noise: float) -> float:
    return float(10 * np.log10(max(both - noise, 1e-3 * both) / noise))


def _with_hum(heard: Estimate, voice: Voice) -> Estimate:
    """There is no less noise than the mains lines hold."""
    both = _active(voice.power, voice.sounding)
    noise = max(both / (1 + 10 ** (heard.value / 10)), voice.hum)
    return Estimate(_ratio_db(both, noise), heard.error)


def _with_edge(heard: Estimate, voice: Voice) -> Estimate:
    """The edge of the spectrum too, unless the network hears the voice end well below it.

    A gentle filter's edge lies far under the last that is heard, and noise knows no edge.
    """
    hz = conditions.bandwidth_hz(voice.samples, None)
    told = Estimate(1000 * heard.value, 1000 * heard.error)
    if abs(told.value - hz) < max(EDGE * hz, 2 * told.error):
        told = joined([told, Estimate(hz, EDGE_ERROR * hz)])
    return Estimate(float(np.clip(told.value, LOWEST_HZ, hz)), told.error)


def intelligible(snr_db: float, c50_db: float, clipped: float, width_hz: float) -> float:
    """How much of clear speech would still be understood from such a recording, 0..100.

    The useful-to-detrimental ratio (Lochner & Burger 1964; Bradley 1986) of early speech to noise,
    late reverberation and what clipping adds, audible from -15 to 15 dB as in the speech
    intelligibility index, times the band's importance for speech (both ANSI S3.5-1997; the engine
    gives the band two standard errors more than it found). Never
    rises with more noise, more reverberation, more clipping or less bandwidth.
    """
    detrimental = 10 ** (-snr_db / 10) + 10 ** (-c50_db / 10) + clipped
    audible = np.clip((15 - 10 * np.log10(detrimental + 1e-9)) / 30, 0, 1)
    hz, share = IMPORTANCE
    return float(100 * audible * np.interp(np.log(width_hz + 1.0), np.log(hz), share))
