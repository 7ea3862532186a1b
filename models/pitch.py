"""Pitch: how a voice moves through a take, and what of it was sung."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import decoding, notes, spectra, weights
from models.audio import ANALYSIS_RATE, Audio
from models.decoding import Calibration, Candidates, Path
from models.engine import Task
from models.octaves import agreement
from models.pitchnet import LOUDNESS_FRAME, MARGIN, REACH, PitchNet, levelled
from models.refinement import refined
from models.results import (
    Absence,
    Family,
    FamilyResult,
    Measure,
    Note,
    Number,
    Pitch,
    Reason,
    Span,
    Version,
    absent,
)
from models.spectra import HOP

HOP_S = HOP / ANALYSIS_RATE
SHORTEST_S = 0.3
SILENT = 1e-5  # RMS of the loudest 50 ms
ENOUGH_S = 0.1  # of voice, for a median
AT_ONCE = {"cpu": 1000}  # frames in the network at a time: few where caches are small
AT_ONCE_ELSEWHERE = 16_384
APART = -(-MARGIN // HOP)  # frames between takes: no window and no layer reaches across
MOST_SPANS = 60
SINGS = 5  # notes needed for a tuning and a key...
SINGS_SHARE = 0.5  # ...and the share of the voiced time that they fill

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a batch of takes sounds like to the network."""

    paths: list[Path]
    level: Tensor  # (batch, samples): see pitchnet.levelled
    loudest: Tensor  # (batch,)


class PitchEngine:
    """F0, notes, vibrato and range of takes, by PitchNet and a Viterbi path."""

    family: Family = "pitch"

    def __init__(
        self,
        network: PitchNet,
        version: Version,
        device: str = "cpu",
        calibration: Calibration | None = None,
    ) -> None:
        self.network = network.fused().to(device)
        self.version = version
        self.device = device
        self.calibration = calibration

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        """Raises WeightsUnavailable where the weights are not those of the manifest."""
        kept = weights.load("pitch", version, sha256=sha256)
        network = PitchNet(int(kept.metadata["channels"]))
        network.load_state_dict(kept.tensors)
        return cls(network, kept.version, device, Calibration.read(kept.metadata))

    @torch.inference_mode()
    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        """A Pitch for each task. Batch-mates and padding never change a result."""
        if not tasks:
            return []
        heard = self.hear([task.audio for task in tasks])
        energies = _energy_db(heard.level).cpu().numpy()
        return [
            self._refused(task.audio.seconds, float(loudest))
            or self._result(task, path, row, energy[: len(path.hz)])
            for task, path, row, energy, loudest in zip(
                tasks, heard.paths, heard.level, energies, heard.loudest, strict=True
            )
        ]

    @torch.inference_mode()
    def hear(self, takes: Sequence[Audio]) -> Heard:
        """The path of the pitch through each take, before anything is made of it."""
        samples, lengths = spectra.batch(takes, self.device)
        samples = torch.nn.functional.pad(samples, (0, max(0, HOP - samples.shape[1])))
        level, loudest = levelled(samples, lengths)
        counts = spectra.frame_counts(lengths)
        found = self.candidates(level, counts)
        rough = decoding.follow(found, counts.tolist(), self.calibration)
        return Heard(_made_exact(level, rough), level, loudest)

    def candidates(self, level: Tensor, counts: Tensor) -> Candidates:
        """The network's answer to levelled takes (batch, samples).

        They are laid end to end, apart enough not to hear each other, so that nothing is spent on
        padding. Every piece of that sees as far as the network reaches: the answer is that of
        one pass over each take.
        """
        starts = (counts + APART).cumsum(0) - counts - APART
        sound, real = _end_to_end(level, counts.tolist(), starts.tolist())
        at_once = AT_ONCE.get(level.device.type, AT_ONCE_ELSEWHERE)
        pieces = -(-len(real) // at_once)
        found = [
            self._score(sound, real, len(real) * i // pieces, len(real) * (i + 1) // pieces)
            for i in range(pieces)
        ]
        frame = torch.arange(int(counts.max()), device=level.device)
        place = torch.where(frame < counts[:, None], starts[:, None] + frame, len(real))
        return Candidates(
            _placed([part.bins for part in found], place),
            _placed([part.mass for part in found], place),
            _placed([part.voicing for part in found], place),
        )

    def _score(self, sound: Tensor, real: Tensor, start: int, stop: int) -> Candidates:
        """Of the frames from `start` to `stop`."""
        first, last = max(start - REACH, 0), min(stop + REACH, len(real))
        heard = sound[None, first * HOP : (last - 1) * HOP + 2 * MARGIN]
        there = real[None, first:last]
        pitch, voicing = self.network(heard, None if bool(there.all()) else there)
        inside = slice(start - first, stop - first)
        return decoding.candidates(pitch[:, inside], voicing[:, inside])

    def _refused(self, seconds: float, loudest: float) -> FamilyResult | None:
        if seconds < SHORTEST_S:
            detail = f"{seconds:.2f} s; {SHORTEST_S} s are needed"
            return absent("pitch", Reason.too_short, detail, self.version)
        if loudest < SILENT:
            return absent("pitch", Reason.silence, "nothing above -100 dBFS", self.version)
        return None

    def _result(self, task: Task, path: Path, level: Tensor, energy_db: Floats) -> Pitch:
        f0 = np.where(path.voiced, path.hz, np.nan)
        sung = notes.find(f0, path.confidence, energy_db, task.options.a4_hz)
        curve = Pitch(
            version=self.version,
            hop_s=HOP_S,
            f0_hz=[
                float(hz) if voiced else None for hz, voiced in zip(f0, path.voiced, strict=True)
            ],
            confidence=path.confidence.tolist(),
            notes=sung,
        )
        measures = _f0_measures(curve, path)
        if path.voiced.any():
            share = agreement(level, path.hz, path.voiced)
            measures["octave_agreement"] = Measure(value=share, unit="1", evidence_s=_spans(curve))
        measures |= _note_measures(sung, curve.voiced_s)
        return curve.model_copy(
            update={
                "measures": measures,
                "absences": _missing(measures, curve.voiced_s),
                "conditions": _conditions(sung, curve, task.options.a4_hz),
            }
        )


def _made_exact(level: Tensor, rough: Sequence[Path]) -> list[Path]:
    frames = max(len(path.hz) for path in rough)
    hz, voiced = np.ones((len(rough), frames)), np.zeros((len(rough), frames), bool)
    for row, path in enumerate(rough):
        hz[row, : len(path.hz)], voiced[row, : len(path.hz)] = path.hz, path.voiced
    exact = refined(level, hz, voiced)
    return [replace(path, hz=row[: len(path.hz)]) for path, row in zip(rough, exact, strict=True)]


def _end_to_end(
    level: Tensor, counts: Sequence[int], starts: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """The takes on one line of samples, MARGIN more at each end; which frames of it are theirs."""
    frames = starts[-1] + counts[-1]
    sound = level.new_zeros(frames * HOP + 2 * MARGIN)
    real = torch.zeros(frames, dtype=torch.bool, device=level.device)
    for row, count, start in zip(level, counts, starts, strict=True):
        part = row[: count * HOP]
        sound[MARGIN + start * HOP :][: len(part)] = part
        real[start : start + count] = True
    return sound, real


def _placed(parts: Sequence[Tensor], place: Tensor) -> Tensor:
    """(1, frames, ...) each, put where `place` (batch, frames) says; zero beyond the last."""
    found = torch.cat([*parts, torch.zeros_like(parts[0][:, :1])], 1)[0]
    return found[place]


def _energy_db(level: Tensor) -> Tensor:
    """(batch, frames): power of 50 ms re the loudest."""
    power = torch.nn.functional.avg_pool1d(
        level.square()[:, None], LOUDNESS_FRAME, HOP, LOUDNESS_FRAME // 2
    )
    return 10 * torch.log10(power[:, 0] + 1e-10)


def _f0_measures(curve: Pitch, path: Path) -> dict[str, Measure]:
    """Of the voiced frames; just how much is voiced where that is too little."""
    spans, f0 = _spans(curve), path.hz[path.voiced]
    measures = {
        "voiced_fraction": Measure(value=float(path.voiced.mean()), unit="1", evidence_s=spans),
        "voiced_s": Measure(value=curve.voiced_s, unit="s", evidence_s=spans),
    }
    if curve.voiced_s < ENOUGH_S:
        return measures
    semitones = 12 * np.log2(f0 / np.median(f0))
    low, high = np.percentile(semitones, [5, 95])
    values = {
        "f0_median_hz": (float(np.median(f0)), "Hz"),
        "f0_mean_hz": (float(np.mean(f0)), "Hz"),
        "f0_low_hz": (float(np.percentile(f0, 5)), "Hz"),
        "f0_high_hz": (float(np.percentile(f0, 95)), "Hz"),
        "f0_range_semitones": (float(high - low), "semitones"),
        "f0_sd_semitones": (float(np.std(semitones)), "semitones"),
    }
    trust = float(path.confidence[path.voiced].mean())
    return measures | {
        name: Measure(value=value, unit=unit, confidence=trust, evidence_s=spans)
        for name, (value, unit) in values.items()
    }


def _note_measures(sung: Sequence[Note], voiced_s: float) -> dict[str, Measure]:
    measures = {}
    if _is_song(sung, voiced_s):
        measures["tuning_offset_cents"] = _over(sung, notes.intonation(sung), "cents")
    shaking = [note for note in sung if note.vibrato]
    vibratos = [note.vibrato for note in shaking if note.vibrato]
    if vibratos:
        rates, extents = zip(*((v.rate_hz, v.extent_cents) for v in vibratos), strict=True)
        measures["vibrato_rate_hz"] = _over(shaking, float(np.median(rates)), "Hz")
        measures["vibrato_extent_cents"] = _over(shaking, float(np.median(extents)), "cents")
    return measures


def _over(sung: Sequence[Note], value: float, unit: str) -> Measure:
    """A measure that rests on these notes."""
    trust = float(np.mean([note.confidence for note in sung]))
    spans = _merged([(note.start_s, note.end_s) for note in sung])
    return Measure(value=value, unit=unit, confidence=trust, evidence_s=spans)


def _missing(measures: Mapping[str, Measure], voiced_s: float) -> dict[str, Absence]:
    """Why the measures that are not there are not."""
    needs = {
        "f0_median_hz": f"{voiced_s:.2f} s voiced; {ENOUGH_S} s are needed",
        "f0_range_semitones": f"{voiced_s:.2f} s voiced; {ENOUGH_S} s are needed",
        "octave_agreement": "no voiced frame",
        "tuning_offset_cents": f"fewer than {SINGS} sung notes over half of the voiced time",
        "vibrato_rate_hz": "no note of 0.5 s with vibrato",
        "vibrato_extent_cents": "no note of 0.5 s with vibrato",
    }
    return {
        name: Absence(reason=Reason.insufficient_voiced_audio, detail=need)
        for name, need in needs.items()
        if name not in measures
    }


def _conditions(sung: Sequence[Note], curve: Pitch, a4_hz: float) -> dict[str, Number]:
    found: dict[str, Number] = {
        "a4_hz": a4_hz,
        "lowest_hz": 46.0,
        "highest_hz": 1400.0,
        "notes": len(sung),
    }
    if _is_song(sung, curve.voiced_s):
        found["key"], fit = notes.key(sung)
        found["key_correlation"] = round(fit, 3)
    return found


def _is_song(sung: Sequence[Note], voiced_s: float) -> bool:
    """Steady notes fill most of it; the level stretches of speech do not."""
    held = sum(note.end_s - note.start_s for note in sung)
    return len(sung) >= SINGS and held >= SINGS_SHARE * voiced_s


def _spans(curve: Pitch) -> list[Span]:
    return _merged(curve.voiced_spans(bridge_s=0.05))


def _merged(spans: Sequence[Span]) -> list[Span]:
    """At most MOST_SPANS, joined over the smallest gaps."""
    kept = list(spans)
    gaps = sorted(after[0] - before[1] for before, after in pairwise(kept))
    if len(kept) <= MOST_SPANS:
        return kept
    bridge = gaps[len(kept) - MOST_SPANS - 1]
    merged = kept[:1]
    for start, end in kept[1:]:
        if start - merged[-1][1] <= bridge:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged
