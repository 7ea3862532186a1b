"""Emotion: which of eight expressions a voice carries, and how aroused it sounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import activity, finite, mel, periodicity, spectra, weights
from models.audio import ANALYSIS_RATE
from models.emotionnet import CATEGORIES, FLOOR_DB, MEL, WINDOW, EmotionNet, Pictures
from models.engine import Task
from models.results import (
    Emotion,
    Family,
    FamilyResult,
    Measure,
    Number,
    Reason,
    Span,
    Version,
    absent,
)

UNSURE = "unsure"
HOP_S = MEL.hop / ANALYSIS_RATE
WINDOW_HOP = round(1 / HOP_S)  # frames: 1 s
WINDOWS_AT_ONCE = 32
SHORTEST_S = 0.5
SHORTEST_VOICE_S = 0.3
MARGIN = 5  # frames kept before and after the voice
FAINT = 0.03  # of the take's loudest window: fainter ones say nothing


@dataclass(frozen=True, slots=True)
class Calibration:
    """What held-out speakers taught about the network's answers."""

    temperature: float
    threshold: float  # of the largest probability; under it the label is `unsure`
    errors: tuple[float, float]  # root mean square, of arousal and of valence
    confidences: tuple[float, float]  # concordance of arousal and valence in another corpus

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Self:
        names = ("arousal", "valence")
        first, second = (float(metadata[f"{name}_error"]) for name in names)
        third, fourth = (float(metadata[f"{name}_confidence"]) for name in names)
        return cls(
            temperature=float(metadata["temperature"]),
            threshold=float(metadata["threshold"]),
            errors=(first, second),
            confidences=(third, fourth),
        )


@dataclass(frozen=True, slots=True)
class Heard:
    """What the network says of a take's windows."""

    bounds: NDArray[np.int64]  # (windows, 2): first frame, and the one after the last
    weights: NDArray[np.float64]  # (windows,): how much voice is in each, summing to 1
    log_shares: NDArray[np.float64]  # (windows, 8)
    dimensions: NDArray[np.float64]  # (windows, 2)

    @property
    def logits(self) -> NDArray[np.float64]:
        """Weighted mean log-probabilities of the categories (8,), before the temperature."""
        return self.weights @ self.log_shares

    @property
    def arousal_and_valence(self) -> NDArray[np.float64]:
        return self.weights @ self.dimensions


class EmotionEngine:
    """Answers for `emotion`: windows of 3 s every second, weighted by the voice in them."""

    family: Family = "emotion"

    def __init__(
        self,
        network: EmotionNet,
        detector: activity.ActivityNet,
        calibration: Calibration,
        version: Version,
        device: str = "cpu",
    ) -> None:
        self.network = network.to(device).eval()
        self.detector = detector.to(device).eval()
        self.calibration = calibration
        self.version = version
        self.device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        """Raises WeightsUnavailable, for the weights of the voice detector too."""
        found = weights.load("emotion", version, sha256=sha256)
        network = EmotionNet()
        network.load_state_dict(found.tensors)
        detector, _ = activity.load()
        return cls(network, detector, Calibration.of(found.metadata), found.version, device)

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        samples, lengths = spectra.batch([task.audio for task in tasks], self.device)
        voices = activity.detect(self.detector, samples, lengths)
        heard = hear(self.network, samples, lengths, voices)
        takes = zip((lengths / ANALYSIS_RATE).tolist(), voices, heard, strict=True)
        return [self._result(*take) for take in takes]

    def _result(self, seconds: float, voice: activity.Heard, heard: Heard | None) -> FamilyResult:
        speech = activity.spans(voice.active, seconds)
        why = _missing(seconds, voice, speech)
        if why or heard is None:
            return absent("emotion", *(why or _NO_VOICE), self.version)
        probabilities = _softmax(heard.logits / self.calibration.temperature)
        best = int(probabilities.argmax())
        sure = probabilities[best] >= self.calibration.threshold
        return Emotion(
            version=self.version,
            conditions=self._conditions(),
            measures=self._measures(heard, activity.merged(speech)),
            label=CATEGORIES[best] if sure else UNSURE,
            probabilities=dict(zip(CATEGORIES, probabilities.tolist(), strict=True)),
            arousal=_track(heard, voice, seconds),
        )

    def _measures(self, heard: Heard, evidence: list[Span]) -> dict[str, Measure]:
        known, values = self.calibration, heard.arousal_and_valence.tolist()
        rows = zip(("arousal", "valence"), values, known.errors, known.confidences, strict=True)
        return {
            name: Measure(
                value=value,
                unit="1",
                confidence=confidence,
                standard_error=error,
                evidence_s=evidence,
            )
            for name, value, error, confidence in rows
        }

    def _conditions(self) -> dict[str, Number]:
        return {
            "describes": "expression in the voice as listeners would label it, not what "
            "somebody feels",
            "arousal_and_valence": "learnt from values of the categories (Russell & Mehrabian "
            "1977), not from ratings of the clips; valence leans on words: low confidence",
            "training": "English sentences acted by 17 speakers (RAVDESS)",
            "unsure_under": self.calibration.threshold,
            "temperature": self.calibration.temperature,
            "window_s": WINDOW * HOP_S,
        }


_NO_VOICE = (Reason.no_speech, "Nothing sounds like a voice.")


def _missing(
    seconds: float, voice: activity.Heard, speech: Sequence[Span]
) -> tuple[Reason, str] | None:
    """Why nothing can be said of a take, if so."""
    if seconds < SHORTEST_S:
        return Reason.too_short, f"The take lasts {seconds:.2f} s; {SHORTEST_S} s are needed."
    if voice.loudest < mel.SILENCE:
        return Reason.silence, "Nothing but silence."
    if not speech:
        return _NO_VOICE
    spoken = float(voice.active.sum()) * activity.HOP_S
    if spoken < SHORTEST_VOICE_S:
        detail = f"{spoken:.2f} s of voice; {SHORTEST_VOICE_S} s are needed."
        return Reason.insufficient_voiced_audio, detail
    return None


def hear(
    network: EmotionNet, samples: Tensor, lengths: Tensor, voices: Sequence[activity.Heard]
) -> list[Heard | None]:
    """Every window of padded takes (batch, samples) at 16 kHz; None for a take without voice."""
    power, _ = mel.power(samples, lengths, MEL)
    melody = periodicity.picture(samples, lengths, mel.reference(power), MEL)
    active = [voice.active[:: MEL.hop // activity.MEL.hop] for voice in voices]
    bounds = [windows(frames) for frames in active]
    where = [(take, *bound) for take, some in enumerate(bounds) for bound in some]
    shares, dimensions = _listen(network, power, melody, where)
    amplitudes = power.sum(1).sqrt().double().cpu().numpy()
    heard: list[Heard | None] = []
    done = 0
    for frames, amplitude, some in zip(active, amplitudes, bounds, strict=True):
        own = slice(done, done := done + len(some))
        weights = _weights(frames * amplitude[: len(frames)], some)
        heard.append(Heard(np.array(some), weights, shares[own], dimensions[own]) if some else None)
    return heard


def windows(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Frames (first, after) of windows of 3 s every second, from the first voice to the last."""
    first, after = around(active)
    if after - first <= WINDOW:
        return [(first, after)] if after > first else []
    starts = [*range(first, after - WINDOW, WINDOW_HOP), after - WINDOW]
    return [(start, start + WINDOW) for start in starts]


def around(active: NDArray[np.bool_]) -> tuple[int, int]:
    """First active frame and the one after the last, with a margin; (0, 0) where there is none.

    The margin may reach out of the take, so that silence before it changes nothing.
    """
    found = np.flatnonzero(active)
    if len(found) == 0:
        return 0, 0
    return int(found[0]) - MARGIN, int(found[-1]) + 1 + MARGIN


def _listen(
    network: EmotionNet, power: Tensor, melody: Tensor, where: Sequence[tuple[int, int, int]]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Log-probabilities (windows, categories) and dimensions (windows, 2), some at a time."""
    if not where:
        return np.zeros((0, len(CATEGORIES))), np.zeros((0, 2))
    said = []
    with torch.inference_mode():
        for start in range(0, len(where), WINDOWS_AT_ONCE):
            logits, told = network(cut(power, melody, where[start : start + WINDOWS_AT_ONCE]))
            finite.require(logits, told)
            said.append(torch.cat([torch.log_softmax(logits, 1), told], 1).cpu())
    all_said = torch.cat(said).double().numpy()
    return all_said[:, :-2], all_said[:, -2:]


def cut(power: Tensor, melody: Tensor, where: Sequence[tuple[int, int, int]]) -> Pictures:
    """Windows (take, first frame, frame after the last) of pictures (batch, rows, frames).

    Frames before the first and after the last are silent.
    """
    bands = power.new_zeros(len(where), power.shape[1], WINDOW)
    rows = melody.new_zeros(len(where), melody.shape[1], WINDOW)
    for place, (take, first, after) in enumerate(where):
        start, end = max(first, 0), min(after, power.shape[2])
        bands[place, :, start - first : end - first] = power[take, :, start:end]
        rows[place, :, start - first : end - first] = melody[take, :, start:end]
    counts = torch.tensor([after - first for _, first, after in where], device=power.device)
    return Pictures(mel.relative_db(bands, mel.reference(bands), FLOOR_DB), rows, counts)


def _weights(voice: NDArray[np.float64], bounds: Sequence[tuple[int, int]]) -> NDArray[np.float64]:
    """How much of the take's voice, as amplitude, is in each window; sums to 1."""
    total = np.concatenate([[0.0], np.cumsum(voice)])
    ends = np.array(bounds, int).reshape(-1, 2).clip(0, len(voice))
    inside = total[ends[:, 1]] - total[ends[:, 0]]
    inside[inside < FAINT * inside.max(initial=0.0)] = 0
    return np.asarray(inside / max(float(inside.sum()), 1e-12))


def _track(heard: Heard, voice: activity.Heard, seconds: float) -> list[float | None]:
    """Arousal at every full second: what the windows over it say, none where no voice is near."""
    near = round(0.5 / activity.HOP_S)
    track: list[float | None] = []
    for second in range(int(seconds) + 1):
        frame = second * 2 * near
        middle = second * WINDOW_HOP
        covers = (heard.bounds[:, 0] <= middle + near // 2) & (
            heard.bounds[:, 1] > middle - near // 2
        )
        weight = heard.weights * covers
        if weight.sum() > 0 and voice.active[max(frame - near, 0) : frame + near].any():
            track.append(float(weight @ heard.dimensions[:, 0] / weight.sum()))
        else:
            track.append(None)
    return track


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares = np.exp(logits - logits.max())
    return np.asarray(shares / shares.sum())
