"""A take on which every network has something to say: what an engine hears before any singer."""

import numpy as np
from numpy.typing import NDArray

from models.audio import ANALYSIS_RATE, Audio
from models.engine import Task
from models.results import Activity, Pitch, Timbre

SECONDS = 2.0
VOICE_HZ = 140.0
FORMANTS_HZ = ((700.0, 90.0), (1200.0, 110.0), (2600.0, 160.0))  # centre and width, of an "ah"
SYLLABLES_HZ = 3.0
FLOOR = 1e-3  # of noise under it


def task() -> Task:
    """The take, and what other families would have said of it."""
    frames = round(SECONDS * 100) + 1
    pitch = Pitch(f0_hz=[VOICE_HZ] * frames, confidence=[1.0] * frames)
    needs = {"activity": Activity(speech_s=[(0.0, SECONDS)]), "pitch": pitch, "timbre": Timbre()}
    return Task(take(), needs)  # type: ignore[arg-type]  # a dict of families is invariant


def take() -> Audio:
    """An "ah" in syllables: harmonics under formants."""
    t = np.arange(round(SECONDS * ANALYSIS_RATE)) / ANALYSIS_RATE
    order = np.arange(1, int(0.45 * ANALYSIS_RATE / VOICE_HZ), dtype=np.float64)
    phase = 2 * np.pi * VOICE_HZ * t + 0.3 * np.sin(2 * np.pi * 5 * t)
    voice = _vowel(order * VOICE_HZ) / order @ np.sin(order[:, None] * phase)
    loudness = 0.55 - 0.45 * np.cos(2 * np.pi * SYLLABLES_HZ * t)
    sound = 0.3 * loudness * voice / np.abs(voice).max()
    sound += FLOOR * np.random.default_rng(0).standard_normal(len(t))
    return Audio(sound.astype(np.float32), ANALYSIS_RATE)


def _vowel(hz: NDArray[np.floating]) -> NDArray[np.float64]:
    """The gain of the formants at these frequencies."""
    peaks = [1 / (1 + ((hz - centre) / width) ** 2) for centre, width in FORMANTS_HZ]
    return np.asarray(0.02 + np.sum(peaks, 0))
