"""How versions of pitch are compared: frames of resynthesised speech, clean and in noise."""

from collections.abc import Sequence

from training import voices
from training.data import Clip
from training.gate import Mark, Metric
from training.loop import Judging
from training.melody_metrics import tally
from training.recipes import pitch as recipe
from training.tensors import Kept
from training.voices import Known

METRICS = (Metric("oa"), Metric("rpa"), Metric("vfa", lower=True))
Who = tuple[str, str, str]  # speaker, corpus, sex


def judge(kept: Kept, clips: Sequence[Clip], judging: Judging) -> list[Mark]:
    """Frames right in pitch and voicing (OA) of all, and the shares that make it up."""
    engine = recipe.engine_of(*recipe.network_of(kept))
    who, known = _material(clips, judging)
    marks = list[Mark]()
    for name, snr_db in recipe.JUDGED_AT.items():
        paths = engine.hear(recipe.noisy(known, snr_db)).paths
        for whose, path, one in zip(who, paths, known, strict=True):
            n = min(len(path.hz), len(one.f0_hz))
            counted = tally(path.hz[:n], path.voiced[:n], one.f0_hz[:n])
            marks += [
                Mark(metric, *whose, name, float(scored), float(of))
                for metric, scored, of in (
                    ("oa", counted.settled, counted.frames),
                    ("rpa", counted.pitch, counted.sounding),
                    ("vfa", counted.alarms, counted.silent),
                )
                if of
            ]
    return marks


def _material(clips: Sequence[Clip], judging: Judging) -> tuple[list[Who], list[Known]]:
    """Each clip once, transposed; and voices and tones made up, each by two."""
    who = [(f"{clip.corpus}/{clip.speaker}", clip.corpus, clip.gender) for clip in clips]
    known = voices.of_clips(clips, judging.work / "held_out", 1, voices.plainly)
    if judging.synthesis:
        imagined = recipe.made_up(judging.work)
        who += [(f"voice {place // 2}", "synthesis", "") for place in range(len(imagined))]
        known += imagined
    return who, known
