"""Timbre: voice quality, resonances and spectrum of takes whose pitch is known."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import (
    cepstrum,
    conditions,
    formants,
    framing,
    harmonicity,
    perception,
    periods,
    perturbation,
    resampling,
    spectrum,
    utterance,
    weights,
)
from models.audio import ANALYSIS_RATE
from models.engine import Task
from models.results import (
    Absence,
    Family,
    FamilyResult,
    Measure,
    Number,
    Pitch,
    Reason,
    Span,
    Timbre,
    Version,
    absent,
)
from models.spectra import HOP

SHORTEST_S = 0.3
SHORTEST_VOICED_S = 0.5
SILENT = 1e-5  # peak
INDEPENDENT = 10  # frames: means over neighbours this close share their errors
BRIDGE_S = 0.05  # voiced stretches this close are one piece of evidence
DIGITAL_SILENCE = 10 ** (-90 / 20)  # of the peak

JITTERS = ("local", "local_absolute", "rap", "ppq5", "ddp")
SHIMMERS = ("local", "local_db", "apq3", "apq5", "apq11", "dda")
PERTURBATIONS = (*(f"jitter_{j}" for j in JITTERS), *(f"shimmer_{s}" for s in SHIMMERS))
NOISE = ("hnr_db", "cpps_db", "cpps_voiced_db")
HARMONICS = ("h1_h2_db", "h1_a3_db", "a1_p0_db")
RESONANCES = ("f1_hz", "f2_hz", "f3_hz")
QUIET_NEEDED = (*PERTURBATIONS, *NOISE, *HARMONICS)  # not measured under 10 dB of SNR

Floats = NDArray[np.float64]
Answers = dict[str, Measure | Absence]


@dataclass(frozen=True, slots=True)
class Take:
    """A take that can be measured. `f0_hz`: NaN where unvoiced; `voiced`: frames that are not."""

    samples: Floats  # 16 kHz, without DC
    f0_hz: Floats
    voiced: NDArray[np.int64]
    hop: float  # samples
    ceiling_hz: float
    evidence: list[Span]

    def centres(self, rate: int = ANALYSIS_RATE) -> NDArray[np.int64]:
        at = self.voiced * self.hop * rate / ANALYSIS_RATE
        return np.asarray(np.round(at), np.int64)


@dataclass(frozen=True, slots=True)
class Frames:
    """What was measured at each voiced frame of one take."""

    hnr_db: Floats
    formants_hz: Floats  # (frames, 3)
    h1_h2_db: Floats
    h1_a3_db: Floats
    a1_p0_db: Floats
    flux: Floats
    mean_power: Floats  # (bins,)


class TimbreEngine:
    """Measures voices as phoneticians do: the definitions and settings of Praat's voice report."""

    family: Family = "timbre"

    def __init__(self, version: Version, device: str) -> None:
        self.version = version
        self.device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu") -> Self:
        own = sys.modules[__name__]
        parts = (own, periods, perturbation, harmonicity, formants, cepstrum, spectrum)
        shared = (perception, conditions, framing, resampling)
        return cls(weights.of_code("timbre", version, *parts, *shared), device)

    @torch.inference_mode()
    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        prepared = [_prepared(task) for task in tasks]
        takes = [take for take in prepared if isinstance(take, Take)]
        frames = iter(_frames(takes, self.device))
        pulses = iter(
            periods.find(
                [take.samples for take in takes],
                [take.f0_hz for take in takes],
                hop=takes[0].hop if takes else 1.0,
                rate=ANALYSIS_RATE,
            )
        )
        return [
            absent("timbre", take.reason, take.detail, self.version)
            if isinstance(take, Absence)
            else self._described(task, take, next(frames), next(pulses))
            for task, take in zip(tasks, prepared, strict=True)
        ]

    def _described(self, task: Task, take: Take, frames: Frames, pulses: Floats) -> Timbre:
        answers = (
            _perturbations(take, pulses)
            | _noise(take, frames, self.device)
            | _resonances(take, frames)
            | _spectral(take, frames)
        )
        snr = _snr_db(take)
        answers |= _withheld(conditions.clipped_fraction(task.audio), snr)
        measured = {k: v for k, v in answers.items() if isinstance(v, Measure)}
        answers |= _judged(measured, answers)
        pitch = cast(Pitch, task.needs["pitch"])
        f1, f2, f3 = frames.formants_hz.T
        return Timbre(
            version=self.version,
            conditions=_conditions(task, take, pulses, snr),
            measures={k: v for k, v in answers.items() if isinstance(v, Measure)},
            absences={k: v for k, v in answers.items() if isinstance(v, Absence)},
            hop_s=pitch.hop_s,
            f1_hz=_spread_out(take, f1),
            f2_hz=_spread_out(take, f2),
            f3_hz=_spread_out(take, f3),
            hnr_db=_spread_out(take, frames.hnr_db),
        )


def _prepared(task: Task) -> Take | Absence:
    pitch = cast(Pitch, task.needs["pitch"])
    if task.audio.seconds < SHORTEST_S:
        detail = f"The take lasts {task.audio.seconds:.2f} s; {SHORTEST_S} s are needed."
        return Absence(reason=Reason.too_short, detail=detail)
    if pitch.absent:
        detail = f"Needs pitch: {pitch.absent.detail or pitch.absent.reason}"
        return Absence(reason=pitch.absent.reason, detail=detail)
    if pitch.voiced_s < SHORTEST_VOICED_S - 1e-9:
        detail = f"{pitch.voiced_s:.2f} s are voiced; {SHORTEST_VOICED_S} s are needed."
        return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)
    samples = task.audio.at(ANALYSIS_RATE).samples.astype(np.float64)
    samples -= samples.mean()
    if not np.abs(samples).max() > SILENT:
        return Absence(reason=Reason.silence, detail="No sound in the take.")
    f0 = np.array([np.nan if hz is None else hz for hz in pitch.f0_hz], np.float64)
    voiced = np.flatnonzero(np.isfinite(f0))
    return Take(
        samples,
        f0,
        voiced,
        pitch.hop_s * ANALYSIS_RATE,
        formants.ceiling_hz(task.options.voice, float(np.median(f0[voiced]))),
        utterance.evidence(pitch.voiced_spans(BRIDGE_S)),
    )


def _frames(takes: Sequence[Take], device: str) -> list[Frames]:
    """All takes' voiced frames together, and each take's own again."""
    counts = [len(take.voiced) for take in takes]
    which = np.repeat(np.arange(len(takes)), counts)
    if not len(which):
        return []
    row = torch.from_numpy(which).to(device)
    centre = torch.from_numpy(np.concatenate([take.centres() for take in takes])).to(device)
    f0 = np.concatenate([take.f0_hz[take.voiced] for take in takes])
    resonances = _formants(takes)
    hnr = _hnr_db(takes, row, centre, device)
    joined = framing.join([take.samples for take in takes], spectrum.reach(), device)
    voiced = spectrum.measure(
        joined,
        row,
        centre,
        torch.from_numpy(f0.astype(np.float32)).to(device),
        torch.from_numpy(np.concatenate(resonances).astype(np.float32)).to(device),
    )
    ends = np.cumsum(counts)
    return [
        Frames(
            hnr[end - count : end],
            resonances[i],
            voiced.h1_h2_db[end - count : end],
            voiced.h1_a3_db[end - count : end],
            voiced.a1_p0_db[end - count : end],
            voiced.flux[end - count : end],
            voiced.mean_power[i],
        )
        for i, (count, end) in enumerate(zip(counts, ends, strict=True))
    ]


def _hnr_db(takes: Sequence[Take], row: Tensor, centre: Tensor, device: str) -> Floats:
    samples = [take.samples for take in takes]
    joined = framing.join(samples, harmonicity.reach(ANALYSIS_RATE) + 1, device, torch.float64)
    peaks = torch.tensor([float(np.abs(x).max()) for x in samples], dtype=torch.float64)
    found = harmonicity.hnr_db(joined, row, centre, peaks.to(device), ANALYSIS_RATE)
    return np.asarray(found.cpu().numpy())


def _formants(takes: Sequence[Take]) -> list[Floats]:
    """F1-F3 of each take, one take at a time: their rates differ with the ceiling."""
    found = []
    for take in takes:
        rate = round(2 * take.ceiling_hz)
        samples = formants.emphasised(resampling.brickwall(take.samples, ANALYSIS_RATE, rate), rate)
        joined = framing.join([samples], formants.reach(rate), "cpu", torch.float64)
        centre = torch.from_numpy(take.centres(rate))
        options = formants.candidates(joined, torch.zeros_like(centre), centre, rate).numpy()
        runs = np.split(options, np.flatnonzero(np.diff(take.voiced) > 1) + 1)
        found.append(np.concatenate([formants.track(run, take.ceiling_hz) for run in runs]))
    return found


def _perturbations(take: Take, pulses: Floats) -> Answers:
    jitter = perturbation.jitter(pulses, ANALYSIS_RATE)
    shimmer = perturbation.shimmer(take.samples, pulses, ANALYSIS_RATE)
    missing = Absence(
        reason=Reason.insufficient_voiced_audio,
        detail=f"{len(pulses)} glottal cycles were found, too few of them in a row.",
    )
    answers: Answers = dict.fromkeys(PERTURBATIONS, missing)
    for kind, found in (("jitter", jitter), ("shimmer", shimmer)):
        for name, spread in found.items():
            unit = {"local_absolute": "s", "local_db": "dB"}.get(name, "%")
            scale = 100.0 if unit == "%" else 1.0
            answers[f"{kind}_{name}"] = Measure(
                value=scale * spread.value,
                unit=unit,
                standard_error=scale * spread.standard_error,
                evidence_s=take.evidence,
            )
    return answers


def _noise(take: Take, frames: Frames, device: str) -> Answers:
    extent, start_s = _sounding(take.samples)
    low = resampling.brickwall(extent, ANALYSIS_RATE, cepstrum.RATE)
    found = cepstrum.prominences(formants.emphasised(low, cepstrum.RATE), device)
    frame = np.round((found.times_s + start_s) * ANALYSIS_RATE / take.hop).astype(np.int64)
    inside = np.clip(frame, 0, len(take.f0_hz) - 1)
    voiced = np.isfinite(take.f0_hz[inside]) & (frame < len(take.f0_hz))
    db = found.db.astype(np.float64)
    return {
        "hnr_db": _mean(frames.hnr_db, "dB", take),
        "cpps_db": _mean(db, "dB", take, independent=5 * INDEPENDENT),
        "cpps_voiced_db": _mean(db[voiced], "dB", take, independent=5 * INDEPENDENT),
    }


def _sounding(samples: Floats) -> tuple[Floats, float]:
    """The take without digital silence at its ends, and where that starts in seconds.

    CPPS is a mean over all frames, so silence added to a take would lower it.
    """
    near = DIGITAL_SILENCE * float(np.abs(samples).max())
    first = _still(samples, near)
    last = len(samples) - _still(samples[::-1], near)
    return samples[first:last], first / ANALYSIS_RATE


def _still(samples: Floats, near: float) -> int:
    """How many samples nothing happens for, in whole hops so that frames fall as without them."""
    moved = np.abs(samples - samples[0]) > near
    return int(moved.argmax()) // HOP * HOP


def _resonances(take: Take, frames: Frames) -> Answers:
    return {
        name: _median(values, "Hz", take)
        for name, values in zip(RESONANCES, frames.formants_hz.T, strict=True)
    }


def _spectral(take: Take, frames: Frames) -> Answers:
    answers: Answers = {
        "h1_h2_db": _median(frames.h1_h2_db, "dB", take),
        "h1_a3_db": _median(frames.h1_a3_db, "dB", take),
        "a1_p0_db": _median(frames.a1_p0_db, "dB", take),
        "spectral_flux": _mean(frames.flux, "1", take),
    }
    for name, (value, unit) in spectrum.shape(frames.mean_power).items():
        answers[name] = Measure(value=value, unit=unit, confidence=1.0, evidence_s=take.evidence)
    return answers


def _mean(
    values: Floats, unit: str, take: Take, independent: int = INDEPENDENT
) -> Measure | Absence:
    known = values[np.isfinite(values)]
    if not len(known):
        return _no_frames()
    error = float(known.std()) / max(len(known) / independent, 1.0) ** 0.5
    return Measure(
        value=float(known.mean()), unit=unit, standard_error=error, evidence_s=take.evidence
    )


def _median(values: Floats, unit: str, take: Take) -> Measure | Absence:
    """With the standard error of a median of normal values: 1.25 times that of their mean."""
    found = _mean(values, unit, take)
    if isinstance(found, Absence) or found.standard_error is None:
        return found
    error, middle = 1.2533 * found.standard_error, float(np.nanmedian(values))
    return found.model_copy(update={"value": middle, "standard_error": error})


def _no_frames() -> Absence:
    detail = "No voiced frame is loud and long enough for it."
    return Absence(reason=Reason.insufficient_voiced_audio, detail=detail)


def _snr_db(take: Take) -> float | None:
    power = conditions.levels(take.samples)
    at = np.round(np.arange(len(power)) * conditions.HOP / take.hop).astype(np.int64)
    voiced = np.isfinite(np.append(take.f0_hz, np.nan))[np.minimum(at, len(take.f0_hz))]
    return conditions.snr_db(power, voiced, conditions.pauses(voiced))


def _withheld(clipped: float, snr_db: float | None) -> Answers:
    """What the recording is not good enough for."""
    if clipped > conditions.CLIPPED:
        detail = f"{100 * clipped:.1f} % of the samples are clipped; 1 % is the most allowed."
        reason = Absence(reason=Reason.clipped, detail=detail)
        spectral = ("spectral_flux", *spectrum.SHAPES)
        return dict.fromkeys((*QUIET_NEEDED, *spectral), reason)
    if snr_db is not None and snr_db < conditions.LOW_SNR_DB:
        detail = f"The voice is {snr_db:.1f} dB over the noise; {conditions.LOW_SNR_DB} are needed."
        return dict.fromkeys(QUIET_NEEDED, Absence(reason=Reason.low_snr, detail=detail))
    return {}


def _judged(measured: Mapping[str, Measure], answers: Answers) -> Answers:
    """Perceptual names; one that lacks a cue is absent for the cue's reason."""
    judged: Answers = dict(perception.judge(measured))
    for name, answer in judged.items():
        if isinstance(answer, Absence):
            cues = [cue.measure for cue in perception.QUALITIES[name].cues]
            judged[name] = next(a for c in cues if isinstance(a := answers.get(c), Absence))
    return judged


def _spread_out(take: Take, values: Floats) -> list[float | None]:
    """One value a frame of the pitch curve, None where unvoiced or unknown."""
    row: list[float | None] = [None] * len(take.f0_hz)
    for frame, value in zip(take.voiced.tolist(), values.tolist(), strict=True):
        if value == value:  # not NaN
            row[frame] = value
    return row


def _conditions(task: Task, take: Take, pulses: Floats, snr_db: float | None) -> dict[str, Number]:
    return {
        "voiced_s": round(cast(Pitch, task.needs["pitch"]).voiced_s, 3),
        "glottal_cycles": len(pulses),
        "formant_ceiling_hz": take.ceiling_hz,
        "formants": "Burg, order 10, 25 ms Gaussian, pre-emphasis 50 Hz, Viterbi",
        "periods": "cross-correlation; 0.1-20 ms, period factor 1.3, amplitude factor 1.6",
        "hnr": "autocorrelation, 75 Hz, silence 0.1, 4.5 periods",
        "cpps": cepstrum.SETTINGS,
        "harmonics": "corrected for F1-F3 (Iseli & Alwan 2004; Hawks & Miller 1995)",
        "spectrum": "long-term average of voiced frames, Hann 64 ms; roll-off 85 %",
        "snr_estimate_db": None if snr_db is None else round(snr_db, 1),
    }
