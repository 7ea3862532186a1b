"""Timbre: voice quality, resonances and spectrum of takes whose pitch is known."""

from collections.abc import Sequence
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from models import (
    cepstrum,
    conditions,
    formants,
    framing,
    harmonicity,
    intensity,
    periods,
    resampling,
    spectrum,
    utterance,
    voice_report,
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
    Timbre,
    Version,
    absent,
)
from models.voice_report import Floats, Frames, Take

SHORTEST_S = 0.3
SHORTEST_VOICED_S = 0.5
SILENT = 1e-5  # peak
BRIDGE_S = 0.05  # voiced stretches this close are one piece of evidence


class TimbreEngine:
    """Measures voices as phoneticians do: the definitions and settings of Praat's voice report."""

    family: Family = "timbre"

    def __init__(self, version: Version, device: str) -> None:
        self.version = version
        self.device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        return cls(weights.of_code("timbre", version, sha256), device)

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
        clipped, snr = conditions.clipped_fraction(task.audio), voice_report.snr_db(take)
        asked = voice_report.answers(take, frames, pulses, self.device)
        answers = voice_report.fit(asked, clipped, snr)
        pitch = cast(Pitch, task.needs["pitch"])
        f1, f2, f3, f4 = frames.formants[..., 0].T
        return Timbre(
            version=self.version,
            conditions=_conditions(task, take, pulses, snr),
            measures={k: v for k, v in answers.items() if isinstance(v, Measure)},
            absences={k: v for k, v in answers.items() if isinstance(v, Absence)},
            hop_s=pitch.hop_s,
            f1_hz=_spread_out(take, f1),
            f2_hz=_spread_out(take, f2),
            f3_hz=_spread_out(take, f3),
            f4_hz=_spread_out(take, f4),
            hnr_db=_spread_out(take, frames.hnr_db),
            ltas_db=[]
            if clipped > conditions.CLIPPED
            else spectrum.ltas_db(frames.mean_power).tolist(),
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
    tract = np.concatenate(resonances)[:, :3, 0]
    hnr = _hnr_db(takes, row, centre, device)
    loud = intensity.db(
        framing.join([take.samples for take in takes], intensity.reach(), device, torch.float64),
        row,
        centre,
    )
    joined = framing.join([take.samples for take in takes], spectrum.reach(), device)
    voiced = spectrum.measure(
        joined,
        row,
        centre,
        torch.from_numpy(f0.astype(np.float32)).to(device),
        torch.from_numpy(tract.astype(np.float32)).to(device),
    )
    ends = np.cumsum(counts)
    return [
        Frames(
            hnr[end - count : end],
            loud[end - count : end],
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
    """(frames, 4, 2) of each take, one take at a time: their rates differ with the ceiling."""
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
