"""How versions of emotion are compared: recall of acted expressions, clean and in noise."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from models import activity
from models.audio import Audio
from models.emotionnet import CATEGORIES
from training import augment, expressions
from training.data import Clip
from training.gate import Mark, Metric
from training.loop import Judging
from training.recipes import emotion as recipe
from training.tensors import Kept

METRICS = (Metric("recall"), Metric("arousal_error", lower=True))
NOISES = {"clean": None, "pink 15 dB": 15.0}


def judge(kept: Kept, clips: Sequence[Clip], judging: Judging) -> list[Mark]:
    """Every category weighs the same in the recall, however many clips it has."""
    network, (detector, _) = recipe.network_of(kept), activity.load()
    known = recipe.labelled(clips)
    asked = Counter(expressions.name_of(clip) for clip in known)
    marks = list[Mark]()
    for name, snr_db in NOISES.items():
        rng = np.random.default_rng(3)
        for clip in known:
            heard = recipe.hear_one(network, detector, _noisy(clip, snr_db, rng))
            if heard is None:
                continue
            who = (f"{clip.corpus}/{clip.speaker}", clip.corpus, clip.gender, name)
            wanted = expressions.name_of(clip)
            right = CATEGORIES[int(np.argmax(heard.logits))] == wanted
            weight = len(known) / (len(asked) * asked[wanted])
            away = heard.arousal_and_valence[0] - expressions.truth(clip)[0]
            marks.append(Mark("recall", *who, right * weight, weight))
            marks.append(Mark("arousal_error", *who, float(away) ** 2))
    return marks


def _noisy(clip: Clip, snr_db: float | None, rng: np.random.Generator) -> Audio:
    audio = clip.audio()
    if snr_db is None:
        return audio
    noise = augment.coloured(len(audio.samples), 1.0, rng)
    loud = augment.at_peak(augment.mixed(audio.samples, noise, snr_db), -6.0)
    return Audio(loud, audio.sample_rate)
