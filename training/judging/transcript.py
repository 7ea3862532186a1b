"""How whisper checkpoints are compared: word error rate by the engine, clean and in noise."""

from collections.abc import Sequence

import numpy as np
from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer

from models.audio import Audio
from models.engine import Options, Task
from models.results import Transcript, Version
from models.transcript import TranscriptEngine
from models.whisper_checkpoints import Checkpoint
from training import augment
from training.data import Clip
from training.gate import Mark, Metric
from training.loop import Judging
from training.recipes import transcript as recipe
from training.tensors import Kept

METRICS = (Metric("wer", lower=True),)
NOISES = {"clean": None, "pink 10 dB": 10.0}
AT_ONCE = 8  # takes
BASIC, ENGLISH = BasicTextNormalizer(), EnglishTextNormalizer()


def judge(kept: Kept, clips: Sequence[Clip], judging: Judging) -> list[Mark]:
    """Words substituted, left out and put in, of the words that were said."""
    version = Version(name="transcript", version="0", sha256="")
    engine = TranscriptEngine(Checkpoint(recipe.network_of(kept), version))
    known = recipe.transcribed(clips)
    marks = list[Mark]()
    for name, snr_db in NOISES.items():
        rng = np.random.default_rng(4)
        for at in range(0, len(known), AT_ONCE):
            some = known[at : at + AT_ONCE]
            said = engine.analyze_batch([_task(clip, snr_db, rng) for clip in some])
            for clip, result in zip(some, said, strict=True):
                text = result.text if isinstance(result, Transcript) else ""
                marks += _mark(clip, name, text)
    return marks


def _mark(clip: Clip, noise: str, text: str) -> list[Mark]:
    plain = ENGLISH if clip.language in ("", "en") else BASIC
    said, wanted = plain(text).split(), plain(clip.transcript).split()
    if not wanted:
        return []
    who = (f"{clip.corpus}/{clip.speaker}", clip.corpus, clip.gender)
    return [Mark("wer", *who, noise, float(distance(said, wanted)), float(len(wanted)))]


def _task(clip: Clip, snr_db: float | None, rng: np.random.Generator) -> Task:
    audio = clip.audio()
    if snr_db is not None:
        noise = augment.coloured(len(audio.samples), 1.0, rng)
        loud = augment.at_peak(augment.mixed(audio.samples, noise, snr_db), -6.0)
        audio = Audio(loud, audio.sample_rate)
    options = Options(language=clip.language or None, temperature=0.0)
    return Task(audio, options=options)


def distance(said: Sequence[str], wanted: Sequence[str]) -> int:
    """Levenshtein's, of words."""
    row = list(range(len(wanted) + 1))
    for i, word in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(wanted, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (word != other))
    return row[-1]
