"""How versions of clarity are compared: errors over windows in which everything is planted."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from models import claritynet
from training import planting
from training.data import Clip
from training.gate import Mark, Metric
from training.loop import Judging
from training.recipes import clarity as recipe
from training.recipes.clarity import Examples
from training.tensors import Kept

METRICS = (Metric("error", lower=True), *(Metric(name, lower=True) for name in claritynet.OUTPUTS))
MADE = 12  # voices made up, with chance of their own
Who = tuple[str, str, str]  # speaker, corpus, sex
Window = tuple[Who, str, Examples]  # whose, in which noise


def judge(kept: Kept, clips: Sequence[Clip], judging: Judging) -> list[Mark]:
    """`error` is the mean over what is asked, each in the unit that its output is learnt in."""
    network = recipe.network_of(kept)
    marks = list[Mark]()
    for who, noise, one in _windows(clips, judging):
        away = recipe.errors_in(network, one)
        known = ~np.isnan(away)
        scaled = float((away / np.array(claritynet.SCALES))[known].sum())
        marks.append(Mark("error", *who, noise, scaled, float(known.sum())))
        marks += [
            Mark(name, *who, noise, float(value))
            for name, value in zip(claritynet.OUTPUTS, away, strict=True)
            if not np.isnan(value)
        ]
    return marks


def _windows(clips: Sequence[Clip], judging: Judging) -> list[Window]:
    """A window of every voice in every kind of noise: planted once, and kept for the next."""
    path = judging.work / "clarity.pt"
    if not path.exists():
        _plant(clips, judging, path)
    rows = torch.load(path, weights_only=True)
    return [
        ((speaker, corpus, sex), noise, Examples(found, least, most))
        for speaker, corpus, sex, noise, found, least, most in rows
    ]


def _plant(clips: Sequence[Clip], judging: Judging, path: Path) -> None:
    rng = np.random.default_rng(1)
    voices = [
        ((f"{clip.corpus}/{clip.speaker}", clip.corpus, clip.gender), _clean(clip))
        for clip in clips
    ]
    if judging.synthesis:
        singers = recipe.made(np.random.default_rng(14), MADE)
        voices += [((f"singer {i}", "synthesis", ""), one) for i, one in enumerate(singers)]
    talkers = [voice.samples for _, voice in voices]
    rows = []
    for noise in planting.NOISES:
        for who, voice in voices:
            one = recipe.degraded(voice, noise, talkers, rng)
            rows.append([*who, noise, one.found, one.least, one.most])
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(rows, path)


def _clean(clip: Clip) -> planting.Clean:
    return planting.clean(clip.audio().samples)
