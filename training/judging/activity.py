"""How versions of activity are compared: voices in noise, songs, and sounds without a voice."""

from collections.abc import Sequence

import numpy as np

from models.activity import ActivityNet
from training import voiceless
from training.data import Clip
from training.gate import Mark, Metric
from training.loop import Judging
from training.recipes import activity as recipe
from training.recipes.activity import Voiced
from training.tensors import Kept

METRICS = (Metric("auc"), Metric("quiet"))
RATIOS_DB = (10.0, 0.0)
SONGS, SOUNDS = 30, 5  # made up; sounds of each maker
UNHEARD = 1_000_000  # seeds from here on: nobody has learnt from these songs

Who = tuple[str, str, str]  # speaker, corpus, sex


def judge(kept: Kept, clips: Sequence[Clip], judging: Judging) -> list[Mark]:
    """Area under the curve of each take, clean and in noise; how quiet it is without a voice."""
    network, rng = recipe.network_of(kept), np.random.default_rng(2)
    known = [(clip, voice) for clip in clips for voice in recipe.voices([clip])]
    noises = recipe.noises([voice for _, voice in known])
    marks = list[Mark]()
    for clip, voice in known:
        who = (f"{clip.corpus}/{clip.speaker}", clip.corpus, clip.gender)
        marks += _areas(network, voice, who, "clean")
        for name, noise in noises.items():
            sound = noise(voice, rng)
            for snr_db in RATIOS_DB:
                noisy = recipe.at_snr(voice.samples, sound, voice.labels, snr_db)
                marks += _areas(
                    network, Voiced(noisy, voice.labels), who, f"{name} {snr_db:.0f} dB"
                )
    return marks + (_made_up(network, rng) if judging.synthesis else [])


def _areas(network: ActivityNet, take: Voiced, who: Who, noise: str) -> list[Mark]:
    """None where there is only voice, or only none."""
    judged = take.labels[~np.isnan(take.labels)]
    if judged.min(initial=1) == judged.max(initial=0):
        return []
    return [Mark("auc", *who, noise, recipe.area(network, [(take.samples, take.labels)]))]


def _made_up(network: ActivityNet, rng: np.random.Generator) -> list[Mark]:
    marks = list[Mark]()
    for seed in range(SONGS):
        song = recipe.song(rng, UNHEARD + seed)
        marks += _areas(network, song, (f"singer {seed}", "synthesis", ""), "clean")
    for maker in voiceless.MAKERS:
        name = maker.__name__.replace("_", " ")
        for place in range(SOUNDS):
            said = recipe.posteriors(network, maker(recipe.LONG, rng))
            quiet = float((said <= 0.5).mean())
            marks.append(Mark("quiet", f"{name} {place}", "synthesis", "", name, quiet))
    return marks
