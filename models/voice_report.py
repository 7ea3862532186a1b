"""What the frames and the glottal cycles of one take say: named measures, or why there is none."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import cepstrum, conditions, formants, perception, perturbation, resampling, spectrum
from models.audio import ANALYSIS_RATE
from models.results import Absence, Measure, Reason, Span
from models.spectra import HOP

INDEPENDENT = 10  # frames: means over neighbours this close share their errors
DIGITAL_SILENCE = 10 ** (-90 / 20)  # of the peak

JITTERS = ("local", "local_absolute", "rap", "ppq5", "ddp")
SHIMMERS = ("local", "local_db", "apq3", "apq5", "apq11", "dda")
PERTURBATIONS = (*(f"jitter_{j}" for j in JITTERS), *(f"shimmer_{s}" for s in SHIMMERS))
NOISE = ("hnr_db", "cpps_db", "cpps_voiced_db")
HARMONICS = ("h1_h2_db", "h1_a3_db", "a1_p0_db")
RESONANCES = ("f1_hz", "f2_hz", "f3_hz", "f4_hz")
BANDWIDTHS = ("f1_bandwidth_hz", "f2_bandwidth_hz", "f3_bandwidth_hz", "f4_bandwidth_hz")
QUIET_NEEDED = (*PERTURBATIONS, *NOISE, *HARMONICS, *BANDWIDTHS)  # not measured under 10 dB of SNR


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
    intensity_db: Floats
    formants: Floats  # (frames, 4, 2) F1-F4 and their bandwidths in Hz
    h1_h2_db: Floats
    h1_a3_db: Floats
    a1_p0_db: Floats
    flux: Floats
    mean_power: Floats  # (bins,)


def answers(take: Take, frames: Frames, pulses: Floats, device: str) -> Answers:
    """Everything asked of one take, whatever the recording is good for."""
    return (
        _perturbations(take, pulses)
        | _noise(take, frames, device)
        | _resonances(take, frames)
        | _spectral(take, frames)
    )


def fit(asked: Answers, clipped: float, snr: float | None) -> Answers:
    """Without what the recording is not good enough for; with the names listeners use."""
    kept = asked | _withheld(clipped, snr)
    measured = {name: answer for name, answer in kept.items() if isinstance(answer, Measure)}
    return kept | _judged(measured, kept)


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
    names = np.array([RESONANCES, BANDWIDTHS]).T
    return {
        str(names[i, j]): _median(frames.formants[:, i, j], "Hz", take)
        for i, j in np.ndindex(names.shape)
    }


def _spectral(take: Take, frames: Frames) -> Answers:
    answers: Answers = {
        "h1_h2_db": _median(frames.h1_h2_db, "dB", take),
        "h1_a3_db": _median(frames.h1_a3_db, "dB", take),
        "a1_p0_db": _median(frames.a1_p0_db, "dB", take),
        "spectral_flux": _mean(frames.flux, "1", take),
        "intensity_db": _mean(frames.intensity_db, "dB", take),
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


def snr_db(take: Take) -> float | None:
    power = conditions.levels(take.samples)
    at = np.round(np.arange(len(power)) * conditions.HOP / take.hop).astype(np.int64)
    voiced = np.isfinite(np.append(take.f0_hz, np.nan))[np.minimum(at, len(take.f0_hz))]
    return conditions.snr_db(power, voiced, conditions.pauses(voiced))


def _withheld(clipped: float, snr_db: float | None) -> Answers:
    """What the recording is not good enough for."""
    if clipped > conditions.CLIPPED:
        detail = f"{100 * clipped:.1f} % of the samples are clipped; 1 % is the most allowed."
        reason = Absence(reason=Reason.clipped, detail=detail)
        spectral = ("intensity_db", "spectral_flux", *spectrum.SHAPES)
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
