"""Praat as the peer: real clips, its own pitch as ours, and its answers."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from models.audio import Audio
from models.engine import Task
from models.results import Pitch

CLIPS = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech_subset"
RATE = 16_000

Floats = NDArray[np.float64]


def clips(count: int, seconds: float = 5.0) -> list[Floats]:
    """Real speech of that many speakers; skips the test where there is none."""
    if not (CLIPS / "labels.csv").exists():
        pytest.skip("needs the recordings of shared/data/librispeech_subset")
    with (CLIPS / "labels.csv").open() as table:
        files = [row["file"] for row in csv.DictReader(table)]
    chosen = files[:: max(1, len(files) // count)][:count]
    return [soundfile.read(CLIPS / file)[0][: round(seconds * RATE)] for file in chosen]


def sound(samples: Floats, rate: int = RATE) -> Any:  # noqa: ANN401
    parselmouth = pytest.importorskip("parselmouth")
    return parselmouth.Sound(samples, rate)


def pitch(heard: Any) -> Any:  # noqa: ANN401
    return heard.to_pitch_ac(0.01, 75, voicing_threshold=0.45, pitch_ceiling=500)


def ask(*arguments: object) -> Any:  # noqa: ANN401
    """Praat's own commands by name."""
    return pytest.importorskip("parselmouth.praat").call(*arguments)


def at(curve: Any, times: Floats) -> Floats:  # noqa: ANN401
    return np.array([curve.get_value_at_time(t) for t in times])


def task(samples: Floats) -> Task:
    """The take with Praat's pitch, so that only what follows is compared."""
    count = len(samples) // 160 + 1
    f0 = at(pitch(sound(samples)), np.arange(count, dtype=np.float64) * 0.01)
    hz = [None if np.isnan(f) else float(f) for f in f0]
    needed = Pitch(f0_hz=hz, confidence=[1.0] * count)
    return Task(Audio(samples.astype(np.float32), RATE), {"pitch": needed})


def pulses_of(heard: Any) -> Any:  # noqa: ANN401
    return ask([heard, pitch(heard)], "To PointProcess (cc)")


def cpps_db(samples: Floats) -> float:
    cepstra = ask(sound(samples), "To PowerCepstrogram", 60, 0.002, 5000, 50)
    smooth = ("no", 0.02, 0.0005, 60, 330, 0.05, "Parabolic", 0.001, 0.05, "Straight", "Robust")
    return float(ask(cepstra, "Get CPPS", *smooth))


def report(samples: Floats) -> dict[str, float]:
    """Praat's voice measures of the take."""
    heard = sound(samples)
    pulses, periods = pulses_of(heard), (0, 0, 0.0001, 0.02, 1.3)
    found = {
        "jitter_local": 100 * ask(pulses, "Get jitter (local)", *periods),
        "jitter_rap": 100 * ask(pulses, "Get jitter (rap)", *periods),
        "jitter_ppq5": 100 * ask(pulses, "Get jitter (ppq5)", *periods),
    }
    for kind in ("local", "local_db", "apq3", "apq5", "apq11"):
        scale, name = (1, "local_dB") if kind == "local_db" else (100, kind)
        asked = ask([heard, pulses], f"Get shimmer ({name})", *periods, 1.6)
        found[f"shimmer_{kind}"] = scale * asked
    return found
