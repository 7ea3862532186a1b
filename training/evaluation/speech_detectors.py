"""Who says where speech is: our engine, Silero, WebRTC's detector, plain energy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
import torch
from numpy.typing import NDArray

from models import activity, mel, spectra
from models.activity import ActivityNet
from models.audio import ANALYSIS_RATE, Audio
from models.results import Span

OURS, SILERO, WEBRTC, ENERGY = "ours", "Silero", "WebRTC", "energy"
TOGETHER = 32  # takes in a batch
SILERO_CHUNK = 512  # samples
ENERGY_DB = -25.0  # re the take's loud frames: speech for the plain detector

Samples = NDArray[np.floating]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """What one detector says of one take, every 10 ms."""

    score: Floats  # the higher, the likelier speech
    active: NDArray[np.bool_]

    def spans(self, seconds: float) -> list[Span]:
        """Speech by the rules of our engine: hang-over, shortest speech."""
        return activity.spans(self.active, seconds)

    def moved(self, frames: int) -> "Said":
        """Said that many frames earlier."""
        if frames == 0:
            return self
        score, active = np.roll(self.score, -frames), np.roll(self.active, -frames)
        edge = slice(-frames, None) if frames > 0 else slice(None, -frames)
        score[edge], active[edge] = score[edge].min(), False
        return Said(score, active)


Detector = Callable[[Sequence[Samples]], list[Said]]


def detectors(network: ActivityNet) -> Mapping[str, Detector | None]:
    """By name; None for one that is not installed."""
    return {
        OURS: lambda takes: ours(network, takes),
        SILERO: silero if find_spec("silero_vad") else None,
        WEBRTC: webrtc if find_spec("webrtcvad") else None,
        ENERGY: energy,
    }


def ours(network: ActivityNet, takes: Sequence[Samples]) -> list[Said]:
    """The posterior, and the frames of the engine's spans."""
    said = []
    for start in range(0, len(takes), TOGETHER):
        some = [_audio(samples) for samples in takes[start : start + TOGETHER]]
        for take, heard in zip(some, activity.detect(network, *spectra.batch(some)), strict=True):
            active = frames_of(activity.spans(heard.active, take.seconds), len(heard.active))
            said.append(Said(heard.posterior.astype(np.float64), active))
    return said


def silero(takes: Sequence[Samples]) -> list[Said]:
    """Silero's network in one padded batch; its chunks of 32 ms give three frames or four."""
    import silero_vad

    model = silero_vad.load_silero_vad(onnx=True)
    longest = max(len(samples) for samples in takes)
    chunks = -(-longest // SILERO_CHUNK)
    padded = np.zeros((len(takes), chunks * SILERO_CHUNK), np.float32)
    for row, samples in zip(padded, takes, strict=True):
        row[: len(samples)] = samples
    model.reset_states(len(takes))
    pieces = torch.split(torch.from_numpy(padded), SILERO_CHUNK, 1)
    said = torch.cat([model(piece, ANALYSIS_RATE) for piece in pieces], 1).numpy()
    return [
        Said(score, score > 0.5)
        for row, samples in zip(said, takes, strict=True)
        for score in [row[_centres(samples) // SILERO_CHUNK].astype(np.float64)]
    ]


def webrtc(takes: Sequence[Samples]) -> list[Said]:
    """Score: how many of its four modes say speech. Decision: mode 2."""
    import webrtcvad

    return [_webrtc(webrtcvad.Vad, samples) for samples in takes]


def _webrtc(make: Callable[[int], object], samples: Samples) -> Said:
    count, hop = len(_centres(samples)), activity.MEL.hop
    whole = np.zeros(count * hop, np.int16)
    whole[: len(samples)] = (np.clip(samples, -1, 1) * 32767)[: len(whole)].astype(np.int16)
    frames = [frame.tobytes() for frame in whole.reshape(-1, hop)]
    said = np.array(
        [[vad.is_speech(frame, ANALYSIS_RATE) for frame in frames] for vad in map(make, range(4))]  # type: ignore[attr-defined]
    )
    return Said(said.sum(0).astype(np.float64), said[2])


def energy(takes: Sequence[Samples]) -> list[Said]:
    """Level of the speech band over 30 ms re the take's loud frames."""
    said = []
    for samples in takes:
        level = band_level(samples)
        score = level - np.percentile(level, 95)
        said.append(Said(score, score > ENERGY_DB))
    return said


def band_level(samples: Samples) -> Floats:
    """dB (frames,)."""
    power, _ = mel.power(*spectra.batch([_audio(samples)]), activity.MEL)
    band = power[:, activity.SPEECH_BANDS].sum(1)[:, None]
    smooth = torch.nn.functional.avg_pool1d(band, 3, 1, padding=1)[0, 0]
    return np.asarray(10 * np.log10(smooth.double().numpy() + 1e-12))


def frames_of(spans: Sequence[Span], frames: int) -> NDArray[np.bool_]:
    centres = np.arange(frames) * activity.HOP_S
    active = np.zeros(frames, np.bool_)
    for start, end in spans:
        active |= (centres >= start) & (centres < end)
    return active


def _audio(samples: Samples) -> Audio:
    return Audio(np.asarray(samples, np.float32), ANALYSIS_RATE)


def _centres(samples: Samples) -> NDArray[np.int_]:
    """Samples on which our frames are centred."""
    count = int(spectra.frame_counts(torch.tensor([len(samples)]), activity.MEL.hop)[0])
    return np.minimum(np.arange(count) * activity.MEL.hop, len(samples) - 1)
