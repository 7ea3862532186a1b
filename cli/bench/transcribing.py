"""(c) Transcript: batched 30 s windows beside `whisper.transcribe` one take after another."""

import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from cli.bench import takes
from models.audio import ANALYSIS_RATE, Audio
from models.engine import Options, Task
from models.results import Transcript
from models.transcript import TranscriptEngine
from training.evaluation.report import Section

TAKES = 8
SECONDS = 30
TINY = ModelDimensions(80, 1500, 384, 6, 4, 51865, 448, 384, 6, 4)  # whisper tiny's own
RULES: dict[str, Any] = {"language": "en", "temperature": 0.0}


def measure() -> Section:
    torch.set_num_threads(1)
    numba.set_num_threads(1)  # else whisper's word times slow everything that follows them
    section = Section(
        "(c) Transcript, whisper tiny's dimensions with random weights, one thread",
        f"{TAKES} takes of {SECONDS} s, English, temperature 0, words with times on both sides. "
        "Random weights write nonsense, but the same nonsense: the texts are compared.",
        ("what", "seconds", "tokens", "tokens/s"),
    )
    long = takes.long(TAKES * SECONDS).samples
    audios = [Audio(part, ANALYSIS_RATE) for part in np.split(long, TAKES)]
    with tempfile.TemporaryDirectory() as folder:
        path = _checkpoint(Path(folder) / "random-tiny.pt")
        ours, our_texts = _batched(path, audios)
        theirs, their_texts, tokens = _one_by_one(path, audios)
    section.rows.append(("ours, one batch", ours, tokens, tokens / ours))
    section.rows.append(("whisper.transcribe", theirs, tokens, tokens / theirs))
    same = sum(a == b for a, b in zip(our_texts, their_texts, strict=True))
    section.notes.append(f"whisper.transcribe over ours: **{theirs / ours:.2f}**.")
    section.notes.append(f"Same text in {same} of {TAKES} takes.")
    return section


def _checkpoint(path: Path) -> Path:
    """Random, but lively: the text varies with the sound."""
    torch.manual_seed(0)
    model = Whisper(TINY)
    with torch.no_grad():
        for weight in (w for w in model.parameters() if w.dim() > 1):
            weight.normal_(0, 1.2 / weight[0].numel() ** 0.5)
        model.decoder.positional_embedding.normal_(0, 0.5)
        model.decoder.token_embedding.weight.normal_(0, 1.0)
    torch.save({"dims": asdict(TINY), "model_state_dict": model.state_dict()}, path)
    return path


def _batched(path: Path, audios: list[Audio]) -> tuple[float, list[str]]:
    engine = TranscriptEngine.load(str(path), "cpu")
    options = Options.model_validate(RULES)
    tasks = [Task(audio, options=options) for audio in audios]
    started = time.perf_counter()
    results = engine.analyze_batch(tasks)
    seconds = time.perf_counter() - started
    return seconds, [r.text if isinstance(r, Transcript) else "" for r in results]


def _one_by_one(path: Path, audios: list[Audio]) -> tuple[float, list[str], int]:
    model = whisper.load_model(str(path), device="cpu")
    started = time.perf_counter()
    found = [
        whisper.transcribe(model, audio.samples, word_timestamps=True, fp16=False, **RULES)
        for audio in audios
    ]
    seconds = time.perf_counter() - started
    tokens = sum(len(segment["tokens"]) for each in found for segment in each["segments"])
    return seconds, [each["text"] for each in found], tokens
