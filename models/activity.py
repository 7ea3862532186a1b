"""Activity: where somebody speaks or sings, and the pauses between."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import finite, mel, spectra, weights
from models.audio import ANALYSIS_RATE
from models.engine import Task
from models.results import (
    Activity,
    Family,
    FamilyResult,
    Measure,
    Number,
    Reason,
    Span,
    Version,
    absent,
)

MEL = mel.Settings(bands=40, size=512, window=400, hop=spectra.HOP)
HOP_S = MEL.hop / ANALYSIS_RATE
FLOOR_DB = -60.0  # re the take's level
CHANNELS, DILATIONS = 64, (1, 2, 4, 8, 16, 32)
CONTEXT = 2 + sum(DILATIONS)  # frames each side that move a frame's posterior

THRESHOLD = 0.5  # of the posterior
OVER_FLOOR_DB = 6.0  # speech-band level over the floor a speech frame needs at least
ENOUGH_DB = -20.0  # re the take's level: louder frames need not stand out of the floor
FLOOR_S = 2.0  # the floor is the least level this near, before and after
SPEECH_BANDS = slice(3, 30)  # of the mel bands: about 200 to 4000 Hz
PURE_DB, PEAK_BANDS = -45.0, 5  # all that a sine leaves outside the bands of its peak

HANG_OVER_S = 0.1
SHORTEST_SPEECH_S = 0.08
SHORTEST_PAUSE_S = 0.25
SHORTEST_TAKE_S = 0.3
MOST_EVIDENCE = 60  # spans

Floats = NDArray[np.float32]


class ActivityNet(nn.Module):
    """Mel levels to the log-odds of speech in every frame: dilated residual convolutions.

    Frames past a take's count are zeroed after every layer, so that padding stays silent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entry = _convolution(MEL.bands, 5, 1)
        self.layers = nn.ModuleList(_convolution(CHANNELS, 3, gap) for gap in DILATIONS)
        self.exit = nn.Conv1d(CHANNELS, 1, 1)

    def forward(self, levels: Tensor, counts: Tensor) -> Tensor:
        """Levels in dB re the take (batch, bands, frames) to log-odds (batch, frames)."""
        mask = spectra.frame_mask(counts, levels.shape[2])[:, None]
        x = torch.relu(self.entry((levels + 35) / 15 * mask)) * mask
        for layer in self.layers:
            x = (x + torch.relu(layer(x))) * mask
        log_odds: Tensor = self.exit(x)[:, 0]
        return log_odds


def _convolution(channels: int, width: int, dilation: int) -> nn.Sequential:
    reach = width // 2 * dilation
    return nn.Sequential(
        nn.Conv1d(channels, CHANNELS, width, padding=reach, dilation=dilation, bias=False),
        nn.BatchNorm1d(CHANNELS),
    )


@dataclass(frozen=True, slots=True)
class Heard:
    """What the detector says of one take, a value every 10 ms."""

    posterior: Floats  # (frames,)
    active: NDArray[np.bool_]  # (frames,)
    loudest: float  # amplitude of the loudest frame, full scale 1


class ActivityEngine:
    """Answers for `activity`: the network's posterior, and energy over an adaptive floor."""

    family: Family = "activity"

    def __init__(self, network: ActivityNet, version: Version, device: str = "cpu") -> None:
        self.network = network.to(device).eval()
        self.version = version
        self.device = device

    @classmethod
    def load(cls, version: str = "1", device: str = "cpu", sha256: str | None = None) -> Self:
        """Raises WeightsUnavailable."""
        return cls(*load(version, sha256), device)

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        samples, lengths = spectra.batch([task.audio for task in tasks], self.device)
        heard = detect(self.network, samples, lengths)
        return [
            self._result(length / ANALYSIS_RATE, take)
            for length, take in zip(lengths.tolist(), heard, strict=True)
        ]

    def _result(self, seconds: float, heard: "Heard") -> FamilyResult:
        if seconds < SHORTEST_TAKE_S:
            detail = f"The take lasts {seconds:.2f} s; {SHORTEST_TAKE_S} s are needed."
            return absent("activity", Reason.too_short, detail, self.version)
        if heard.loudest < mel.SILENCE:
            return absent("activity", Reason.silence, "Nothing but silence.", self.version)
        speech = spans(heard.active, seconds)
        if not speech:
            detail = f"No frame run of {SHORTEST_SPEECH_S} s sounds like a voice."
            return absent("activity", Reason.no_speech, detail, self.version)
        return Activity(
            version=self.version,
            conditions=_conditions(),
            measures=_measures(speech, seconds, float(heard.posterior[heard.active].mean())),
            speech_s=speech,
            pauses_s=pauses(speech),
        )


def load(version: str = "1", sha256: str | None = None) -> tuple[ActivityNet, Version]:
    """The network with its weights, for evaluation, or WeightsUnavailable."""
    found = weights.load("activity", version, sha256=sha256)
    network = ActivityNet()
    network.load_state_dict(found.tensors)
    return network.eval(), found.version


def detect(network: ActivityNet, samples: Tensor, lengths: Tensor) -> list[Heard]:
    """Which frames of padded takes (batch, samples) at 16 kHz are voice, before any hang-over."""
    power, counts = mel.power(samples, lengths, MEL)
    odds = posterior(network, power, counts)
    active = (odds > THRESHOLD) & over_floor(power, counts) & has_overtones(power)
    rows = zip(odds.cpu().numpy(), active.cpu().numpy(), strict=True)
    sizes = zip(counts.tolist(), mel.loudest(power).tolist(), strict=True)
    return [
        Heard(odds[:count], active[:count], loudest)
        for (odds, active), (count, loudest) in zip(rows, sizes, strict=True)
    ]


def posterior(network: ActivityNet, power: Tensor, counts: Tensor) -> Tensor:
    """Probability of speech in every frame (batch, frames); 0 in the padding.

    Worked off in overlapping stretches: memory stays bounded and the seams do not show.
    Raises NotFinite.
    """
    level = mel.reference(power)
    pieces = []
    with torch.inference_mode():
        for start in range(0, power.shape[2], mel.CHUNK):
            first = max(start - CONTEXT, 0)
            piece = power[:, :, first : start + mel.CHUNK + CONTEXT]
            inside = (counts - first).clamp(0, piece.shape[2])
            odds = network(mel.relative_db(piece, level, FLOOR_DB), inside)
            finite.require(odds)
            pieces.append(torch.sigmoid(odds[:, start - first :][:, : mel.CHUNK]))
    return torch.cat(pieces, 1) * spectra.frame_mask(counts, power.shape[2])


def over_floor(power: Tensor, counts: Tensor) -> Tensor:
    """Frames (batch, frames) whose speech band stands out of the least level around, or is loud.

    The second clause keeps a note that is held for longer than the floor looks.
    """
    band = power[:, SPEECH_BANDS].sum(1)
    inside = spectra.frame_mask(counts, band.shape[1])
    # The mean of the take's own frames: padding, zero too, counts on neither side of the division.
    both = torch.stack([band, inside.to(band.dtype)], 1)
    total, present = nn.functional.avg_pool1d(both, 5, 1, padding=2).unbind(1)
    smooth = (total / present.clamp_min(1e-3))[:, None]
    reach = round(FLOOR_S / HOP_S)
    negated = -smooth.masked_fill(~inside[:, None], float("inf"))
    least = -nn.functional.max_pool1d(negated, 2 * reach + 1, 1, padding=reach)[:, 0]
    enough = mel.reference(power).square()[:, None] * 10 ** (ENOUGH_DB / 10)
    return (band > torch.minimum(least * 10 ** (OVER_FLOOR_DB / 10), enough)) & inside


def has_overtones(power: Tensor) -> Tensor:
    """Frames (batch, frames) with more in them than one sine: beeps and whistles are no voices.

    The highest sung notes, too, have overtones within 30 dB or so; under noise nothing is refused.
    """
    bands = power.transpose(1, 2)  # (batch, frames, bands)
    around = nn.functional.avg_pool1d(bands, PEAK_BANDS, 1, padding=PEAK_BANDS // 2)
    total, peak = power.sum(1), PEAK_BANDS * around.amax(2)
    return total - peak > total * 10 ** (PURE_DB / 10)


def spans(active: NDArray[np.bool_], seconds: float) -> list[Span]:
    """Runs of active frames, held over gaps of up to 100 ms and then at least 80 ms long."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], active, [False]]).astype(np.int8)))
    found: list[Span] = []
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        start, end = (float(first) - 0.5) * HOP_S, (float(after) - 0.5) * HOP_S
        if found and start - found[-1][1] <= HANG_OVER_S + 1e-9:
            start = found.pop()[0]
        found.append((max(start, 0.0), min(end, seconds)))
    return [span for span in found if span[1] - span[0] >= SHORTEST_SPEECH_S]


def pauses(speech: Sequence[Span]) -> list[Span]:
    """Gaps of at least 250 ms between speech (de Jong & Bosker 2013)."""
    gaps = [(before[1], after[0]) for before, after in pairwise(speech)]
    return [gap for gap in gaps if gap[1] - gap[0] >= SHORTEST_PAUSE_S - 1e-9]


def merged(found: Sequence[Span], most: int = MOST_EVIDENCE) -> list[Span]:
    """The spans, joined over their smallest gaps until there are no more than `most`."""
    gaps = np.array([after[0] - before[1] for before, after in pairwise(found)])
    cuts = sorted(np.argsort(-gaps, kind="stable")[: most - 1].tolist())
    firsts, lasts = [0, *(cut + 1 for cut in cuts)], [*cuts, len(found) - 1]
    if not found:
        return []
    return [(found[a][0], found[b][1]) for a, b in zip(firsts, lasts, strict=True)]


def _measures(speech: list[Span], seconds: float, confidence: float) -> dict[str, Measure]:
    spoken = sum(end - start for start, end in speech)
    silent = pauses(speech)
    evidence = merged(speech)

    def measure(value: float, unit: str, where: list[Span]) -> Measure:
        return Measure(value=value, unit=unit, confidence=confidence, evidence_s=where)

    return {
        "speech_s": measure(spoken, "s", evidence),
        "speech_fraction": measure(spoken / seconds, "1", evidence),
        "pause_count": measure(len(silent), "1", merged(silent)),
        "pause_s": measure(sum(end - start for start, end in silent), "s", merged(silent)),
    }


def _conditions() -> dict[str, Number]:
    return {
        "hop_s": HOP_S,
        "posterior_threshold": THRESHOLD,
        "over_floor_db": OVER_FLOOR_DB,
        "hang_over_s": HANG_OVER_S,
        "shortest_pause_s": SHORTEST_PAUSE_S,
    }
