"""Whisper learns a text by adapters, and what comes out is a checkpoint like any other."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from models import whisper_checkpoints
from models.engine import Task
from models.transcript import TranscriptEngine
from tests import checkpoints
from training import data, tensors
from training.judging import transcript as judging
from training.loop import Judging, NothingToLearn, Run
from training.recipes import transcript as recipe

pytestmark = pytest.mark.usefixtures("one_thread")

SAID = ("the cat sat on the mat", "nine bottles of milk")


@pytest.fixture
def clips(tmp_path: Path) -> list[data.Clip]:
    """Two tones of one second, each with its text."""
    found = []
    for place, text in enumerate(SAID):
        path = tmp_path / f"{place}.wav"
        t = np.arange(16_000) / 16_000
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * (200 + 300 * place) * t), 16_000)
        clip = data.Clip(
            path=path, corpus="voices", speaker=f"s{place}", gender="f", label="", transcript=text,
            seconds=1.0, licence="CC BY 4.0", shippable=True, language="en",
        )  # fmt: skip
        found.append(clip)
    return found


def surprise(kept: tensors.Kept, clips: list[data.Clip]) -> float:
    """By the texts of the clips."""
    model = recipe.network_of(kept)
    batch = recipe.together([recipe.example(model, clip) for clip in clips])
    return float(recipe.loss(model.decoder, batch))


def test_it_learns_by_adapters_alone(clips: list[data.Clip], tmp_path: Path) -> None:
    base = checkpoints.write(tmp_path)
    run = Run(tmp_path, tmp_path / "w", minutes=0.04, split=data.Split(clips, []), base=base)

    learnt = recipe.retrain(run)

    before = tensors.read(base)
    after = surprise(tensors.Kept(learnt.tensors, learnt.metadata), clips)
    assert after < surprise(before, clips) - 0.1
    changed = {
        name for name, x in learnt.tensors.items() if not torch.equal(x, before.tensors[name])
    }
    assert changed
    assert all(name.endswith(("query.weight", "value.weight")) for name in changed)
    assert set(learnt.tensors) == set(before.tensors)
    fresh = tensors.write(tmp_path / "fresh.pt", tensors.Kept(learnt.tensors, learnt.metadata), "")
    engine = TranscriptEngine(whisper_checkpoints.load(str(fresh)))
    [result] = engine.analyze_batch([Task(clips[0].audio())])
    assert result.version is not None


def test_checkpoints_are_judged_by_their_words(clips: list[data.Clip], tmp_path: Path) -> None:
    kept = tensors.read(checkpoints.write(tmp_path))

    marks = judging.judge(kept, clips, Judging(tmp_path))

    assert [mark.of for mark in marks] == [6.0, 4.0] * 2
    assert {mark.noise for mark in marks} == {"clean", "pink 10 dB"}
    assert all(mark.scored > 0 for mark in marks)  # it knows no English
    assert marks == judging.judge(kept, clips, Judging(tmp_path))


@pytest.mark.parametrize(
    ("said", "errors"),
    [
        ("the cat sat on the mat", 0),
        ("cat sat on the mat", 1),
        ("the fat cat sat on a mat", 2),
        ("", 6),
    ],
)
def test_word_errors_are_counted(said: str, errors: int) -> None:
    assert judging.distance(said.split(), SAID[0].split()) == errors


def test_clips_without_text_teach_nothing(clips: list[data.Clip], tmp_path: Path) -> None:
    mute = [replace(clip, transcript="") for clip in clips]
    run = Run(tmp_path, tmp_path, split=data.Split(mute, []), base=checkpoints.write(tmp_path))

    with pytest.raises(NothingToLearn, match="transcript"):
        recipe.retrain(run)
