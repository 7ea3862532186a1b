"""The takes of a benchmark: real recordings where they lie beside the project, else synthesised."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from models.audio import ANALYSIS_RATE, Audio
from models.decode import decode

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "data" / "librispeech_subset"


@dataclass(frozen=True, slots=True)
class Takes:
    audios: list[Audio]
    origin: str

    @property
    def seconds(self) -> float:
        return sum(audio.seconds for audio in self.audios)


def some(count: int) -> Takes:
    files = sorted(CORPUS.rglob("*.flac"))[:count]
    if len(files) == count:
        return Takes([decode(path) for path in files], f"{count} LibriSpeech utterances")
    return Takes([_synthetic(seed) for seed in range(count)], f"{count} synthesised takes")


def long(seconds: float) -> Audio:
    """One take of that length, joined from others."""
    parts = some(16).audios
    joined = np.concatenate([part.samples for part in parts])
    wanted = round(seconds * ANALYSIS_RATE)
    return Audio(np.resize(joined, wanted), ANALYSIS_RATE)


def wav(audio: Audio) -> bytes:
    """The take as a client would send it."""
    file = io.BytesIO()
    soundfile.write(file, audio.samples, audio.sample_rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _synthetic(seed: int) -> Audio:
    from training.demo_take import take

    made = take()
    quiet = 10 ** (-seed / 40)
    return Audio((made.samples * quiet).astype(np.float32), made.sample_rate)
