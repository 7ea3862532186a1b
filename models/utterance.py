"""What is asked of a take before its speech is measured: runs, pauses, evidence. No torch here."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray

from models.engine import Task
from models.results import Absence, Activity, Measure, Pitch, Reason, Span

HOP_S = 0.01  # of F0 and of the level that syllables are found in
PAUSE_S = 0.25  # shorter gaps are articulation, not pauses (de Jong & Bosker 2013)
SHORTEST_S = 0.3  # of a take
SPANS = 60  # of evidence at most
SONG_NOTES, SONG_SHARE = 5, 0.8  # steady notes, and the share of the voice they fill: song

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Answers = dict[str, Measure | Absence]


def refusal(task: Task) -> Absence | None:
    """Why the take's speech cannot be measured at all, if it cannot."""
    activity, pitch = cast(Activity, task.needs["activity"]), task.needs["pitch"]
    if task.audio.seconds < SHORTEST_S:
        detail = f"The take lasts {task.audio.seconds:.2f} s; {SHORTEST_S} s are needed."
        return Absence(reason=Reason.too_short, detail=detail)
    for needed, name in ((activity, "speech"), (pitch, "pitch")):
        if needed.absent:
            detail = f"Needs {name}: {needed.absent.detail or needed.absent.reason}"
            return Absence(reason=needed.absent.reason, detail=detail)
    if not activity.speech_s:
        return Absence(reason=Reason.no_speech, detail="Nobody speaks in the take.")
    return None


def is_song(pitch: Pitch) -> bool:
    """Held notes fill it: .95 and more of a song's voice, hardly ever .8 of anybody's speech."""
    held = sum(note.end_s - note.start_s for note in pitch.notes)
    return len(pitch.notes) >= SONG_NOTES and held >= SONG_SHARE * pitch.voiced_s


def too_few(found: int, needed: int, what: str) -> Absence:
    """The measure needs more of the take than there is."""
    detail = f"Found {found} {what}; {needed} needed."
    return Absence(reason=Reason.too_short, detail=detail)


def runs(speech_s: Sequence[Span], gap_s: float = PAUSE_S) -> list[Span]:
    """Speech joined over gaps that are shorter than a pause."""
    joined: list[Span] = []
    for start, end in speech_s:
        if joined and start - joined[-1][1] < gap_s - 1e-9:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def inside(spans: Sequence[Span], frames: int, hop_s: float = HOP_S) -> Mask:
    """(frames,): True where the frame's centre lies in one of the spans."""
    mask = np.zeros(frames, np.bool_)
    for start, end in spans:
        mask[int(np.ceil(start / hop_s - 1e-6)) : int(np.floor(end / hop_s + 1e-6)) + 1] = True
    return mask


def evidence(spans: Sequence[Span]) -> list[Span]:
    """At most 60 of the sorted spans: the narrowest gaps are closed first."""
    if len(spans) <= SPANS:
        return list(spans)
    gaps = [after[0] - before[1] for before, after in pairwise(spans)]
    widest = sorted(np.argsort(gaps)[len(gaps) - SPANS + 1 :])
    starts = [spans[0][0], *(spans[i + 1][0] for i in widest)]
    ends = [*(spans[i][1] for i in widest), spans[-1][1]]
    return list(zip(starts, ends, strict=True))


def voicing(pitch: Pitch, frames: int) -> Floats:
    """F0 in Hz at every 10 ms, NaN where unvoiced, brought to the given number of frames."""
    f0 = np.array([np.nan if hz is None else hz for hz in pitch.f0_hz], np.float64)
    return np.pad(f0, (0, max(frames - len(f0), 0)), constant_values=np.nan)[:frames]
