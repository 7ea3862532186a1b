"""Other people's pitch trackers, each brought to our frames: its F0 and its voicing every 10 ms."""

import importlib
import io
import sys
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE
from models.spectra import HOP

LOWEST, HIGHEST = 46.0, 1400.0  # Hz: asked of every tracker that can be asked
TOGETHER = 1 / 12  # octaves: closer neighbours are joined by a line, others are not

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Samples = NDArray[np.float32]  # of a take, at 16 kHz


@dataclass(frozen=True, slots=True)
class Curve:
    """F0 at every 10 ms of a take, from its first sample on.

    `hz` is a best guess in unvoiced frames too, where the tracker has one; 0 where it has none.
    """

    hz: Floats  # (frames,)
    voiced: Mask  # (frames,)
    confidence: Floats | None = None  # (frames,): that it is voiced and the F0 right; of ours


Track = Callable[[Samples], Curve]


@dataclass(frozen=True, slots=True)
class Peer:
    """A tracker, and how much of the material it can be given in reasonable time."""

    name: str
    load: Callable[[], Track]  # raises whatever its package raises
    every: int = 1  # it is given one clip in so many


@dataclass(frozen=True, slots=True)
class Missing:
    """A tracker that cannot be had here, and why."""

    why: str


def ready(peer: Peer) -> Track | Missing:
    """The tracker, warmed up; every failure of a stranger's package is an answer here."""
    try:
        track = peer.load()
        track(np.sin(np.arange(ANALYSIS_RATE // 2) / 10).astype(np.float32))
    except Exception as error:
        return Missing(
            f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        )
    return track


def swift_f0() -> Track:
    """SwiftF0 (Nieradzik 2025): voiced from its own confidence of 0.5 on."""
    package = importlib.import_module("swift_f0")
    detector = package.SwiftF0(threads=1, spin=False)

    def track(samples: Samples) -> Curve:
        found = detector.detect(samples, ANALYSIS_RATE, LOWEST, HIGHEST)
        return on_our_frames(found.timestamps, found.pitch_hz, found.confidence, 0.5, len(samples))

    return track


def fcpe() -> Track:
    """FCPE (Luo et al. 2025): voiced over its own threshold of 0.006."""
    bring_torchaudio()
    with redirect_stdout(io.StringIO()):  # it tells how it was called
        network = importlib.import_module("torchfcpe").spawn_bundled_infer_model(device="cpu")

    @torch.inference_mode()
    def track(samples: Samples) -> Curve:
        heard = network.model(network.wav2mel(torch.tensor(samples)[None, :, None], ANALYSIS_RATE))
        cents = network.model.latent2cents_local_decoder(heard, mask=False)
        hz = network.model.cent_to_f0(cents)[0, :, 0].numpy()
        return _each_hop(hz, heard.amax(-1)[0].numpy(), 0.006, len(samples))

    return track


def praat() -> Track:
    """Praat's autocorrelation (Boersma 1993), 50-1100 Hz, its other settings as they come."""
    parselmouth = importlib.import_module("parselmouth")

    def track(samples: Samples) -> Curve:
        sound = parselmouth.Sound(samples.astype(np.float64), ANALYSIS_RATE)
        pitch = sound.to_pitch_ac(0.01, 50.0, pitch_ceiling=1100.0)
        chosen = np.asarray(pitch.selected_array["frequency"])
        offered = pitch.to_array()  # (candidates, frames); 0 Hz stands for no voice
        strength = np.where(offered["frequency"] > 0, offered["strength"], -1.0)
        best = np.take_along_axis(offered["frequency"], strength.argmax(0)[None], 0)[0]
        hz = np.where(chosen > 0, chosen, best)
        return on_our_frames(pitch.xs(), hz, chosen > 0, 0.5, len(samples))

    return track


def pesto() -> Track:
    """PESTO (Riou et al. 2023); voiced from a confidence of 0.15 on, where its OA is best."""
    bring_torchaudio()
    loader = importlib.import_module("pesto.loader")
    network = loader.load_model("mir-1k_g7", step_size=10.0, sampling_rate=ANALYSIS_RATE)

    @torch.inference_mode()
    def track(samples: Samples) -> Curve:
        hz, confidence, _ = network(
            torch.tensor(samples), convert_to_freq=True, return_activations=False
        )
        return _each_hop(hz.numpy(), confidence.numpy(), 0.15, len(samples))

    return track


def crepe(capacity: str) -> Track:
    """CREPE (Kim et al. 2018), Viterbi; voiced from a periodicity of 0.4 on: its best OA."""
    bring_torchaudio()
    package = importlib.import_module("torchcrepe")

    def track(samples: Samples) -> Curve:
        hz, periodicity = package.predict(
            torch.tensor(samples)[None],
            ANALYSIS_RATE,
            HOP,
            LOWEST,
            HIGHEST,
            capacity,
            return_periodicity=True,
            batch_size=256,
        )
        return _each_hop(hz[0].numpy(), periodicity[0].numpy(), 0.4, len(samples))

    return track


def penn() -> Track:
    """FCNF0++ (Morrison et al. 2023); its weights are fetched by the package when first used."""
    bring_torchaudio()
    package = importlib.import_module("penn")

    @torch.inference_mode()
    def track(samples: Samples) -> Curve:
        hz, periodicity = package.from_audio(
            torch.tensor(samples)[None],
            ANALYSIS_RATE,
            0.01,
            LOWEST,
            HIGHEST,
            center="zero",
        )
        return _each_hop(hz[0].numpy(), periodicity[0].numpy(), 0.065, len(samples))

    return track


def pyin() -> Track:
    """pYIN (Mauch & Dixon 2014) in librosa; 64 ms follow speech better than its 128 ms."""
    librosa = importlib.import_module("librosa")

    def track(samples: Samples) -> Curve:
        hz, voiced, _ = librosa.pyin(
            samples,
            fmin=50.0,
            fmax=1100.0,
            sr=ANALYSIS_RATE,
            frame_length=1024,
            hop_length=HOP,
            fill_na=None,
        )
        return _each_hop(hz, voiced.astype(float), 0.5, len(samples))

    return track


# The strides are no multiples of three, the number of kinds of noise that take turns.
PEERS = (
    Peer("SwiftF0", swift_f0),
    Peer("FCPE", fcpe),
    Peer("Praat AC", praat),
    Peer("PESTO", pesto, every=7),
    Peer("CREPE tiny", lambda: crepe("tiny"), every=7),
    Peer("CREPE full", lambda: crepe("full"), every=35),
    Peer("FCNF0++ (penn)", penn, every=7),
    Peer("pYIN", pyin, every=7),
)


def on_our_frames(
    times_s: NDArray[np.floating],
    hz: NDArray[np.floating],
    voicing: NDArray[Any],
    least: float,
    length: int,
) -> Curve:
    """A curve given at `times_s`, at our frames of a take of `length` samples.

    Between two frames less than a semitone apart F0 goes straight in octaves; otherwise it is that
    of the nearer frame. Voiced where `voicing` is at least `least`, in a straight line too.
    """
    wanted = np.arange(length // HOP + 1) * HOP / ANALYSIS_RATE
    octaves = np.log2(np.maximum(np.asarray(hz, np.float64), 1.0))
    after = np.clip(np.searchsorted(times_s, wanted), 1, max(1, len(times_s) - 1))
    before = after - 1
    after = np.minimum(after, len(times_s) - 1)
    nearer = np.where(wanted - times_s[before] <= times_s[after] - wanted, before, after)
    straight = np.abs(octaves[after] - octaves[before]) < TOGETHER
    line = np.where(straight, np.interp(wanted, times_s, octaves), octaves[nearer])
    strength = np.interp(wanted, times_s, np.asarray(voicing, np.float64), left=0.0, right=0.0)
    guessed = np.asarray(hz)[nearer] > 0
    return Curve(np.where(guessed, 2**line, 0.0), guessed & (strength >= least))


def _each_hop(
    hz: NDArray[np.floating], voicing: NDArray[np.floating], least: float, length: int
) -> Curve:
    """Of a tracker that answers at our frames; its last answer holds for any it does not give."""
    at = np.minimum(np.arange(length // HOP + 1), len(hz) - 1)
    return Curve(np.asarray(hz, np.float64)[at], np.asarray(voicing)[at] >= least)


def bring_torchaudio() -> None:
    """Stand in for torchaudio if it cannot be imported here.

    Four trackers import it at their top, and three of them use nothing of it when samples at their
    own rate are given; FCNF0++ resamples with it. Its binary must be of the same release as torch,
    which no resolver knows of, so that it is often there and cannot be loaded.
    """
    try:
        importlib.import_module("torchaudio")
    except (ImportError, OSError):
        whole, transforms = (
            types.ModuleType("torchaudio"),
            types.ModuleType("torchaudio.transforms"),
        )
        transforms.Resample = Resample  # type: ignore[attr-defined]
        whole.transforms = transforms  # type: ignore[attr-defined]
        sys.modules |= {"torchaudio": whole, "torchaudio.transforms": transforms}


class Resample(torch.nn.Module):
    """As torchaudio's, by soxr: samples (..., samples) at one rate to another."""

    def __init__(self, orig_freq: int, new_freq: int, **_: object) -> None:
        super().__init__()
        self.rates = orig_freq, new_freq

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        rows = samples.detach().cpu().numpy().reshape(-1, samples.shape[-1])
        turned = np.stack([soxr.resample(row, *self.rates) for row in rows])
        return torch.tensor(turned).view(*samples.shape[:-1], -1)
