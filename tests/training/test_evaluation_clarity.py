"""The evaluation of clarity: what an engine gets wrong by a known amount is reported as that."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.audio import ANALYSIS_RATE
from models.engine import Task
from models.results import Clarity, Family, FamilyResult, Measure, Version
from training.evaluation import clarity, clarity_peers
from training.evaluation.clarity import Listener, Voice
from training.planting import Plan
from training.recipes.clarity import made


class Wrong:
    """Says the same of every take, and that the voice is the clearer the louder it is."""

    family: Family = "clarity"
    version = Version(name="clarity", version="0", sha256="")

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        return [_said(task) for task in tasks]


def _said(task: Task) -> FamilyResult:
    values = {
        "snr_db": 13.0,
        "snr_wada_db": 20.0,
        "t60_s": 0.6,
        "c50_db": 10.0,
        "bandwidth_hz": 3400.0,
        "hum_db": -30.0,
        "clipped_fraction": 0.01,
        "dc_offset": float(task.audio.samples.mean()),
        "intelligible_recording": 100 * float(np.mean(task.audio.samples**2)) ** 0.5,
    }
    return Clarity(measures={k: Measure(value=v, unit="1") for k, v in values.items()})


@pytest.fixture(scope="module")
def voices() -> list[Voice]:
    return [Voice(str(i), one) for i, one in enumerate(made(np.random.default_rng(0), 2))]


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener({}, Wrong())


def test_errors_of_the_ratio_are_those_of_the_answer(
    voices: list[Voice], listener: Listener
) -> None:
    plans = [(i, Plan(noise="white", snr_db=10.0)) for i in range(2)]
    noisy = clarity.planted(voices, plans, listener)

    section = clarity.levels(noisy)

    [row] = [row for row in section.rows if row[0] == "5 to 15"]
    assert str(row[1]).startswith("3.000")
    assert row[2] == pytest.approx(3.0, abs=0.01)
    assert str(row[3]).startswith("0.000")  # none within 2 dB
    assert row[5] == pytest.approx(10.0, abs=0.01)


def test_a_rise_is_counted(
    voices: list[Voice], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares = (0.0, 0.05, 0.3)  # clipping at one peak makes a take louder
    monkeypatch.setattr(clarity, "LADDERS", {"clipping": [Plan(clipped=one) for one in shares]})
    monkeypatch.setattr("training.recipes.clarity.made", lambda rng, count: made(rng, 1))

    section = clarity.monotony(voices, listener)

    assert [row[:3] for row in section.rows] == [
        ("clipping", "real", 4),
        ("clipping", "synthesised", 2),
    ]
    assert all(int(str(row[3])) > 0 for row in section.rows)


def test_rooms_and_edges_are_judged_by_what_was_planted(
    voices: list[Voice], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clarity_peers, "blind_rt60", lambda: None)
    monkeypatch.setattr(clarity, "TIMES", (0.5,))

    [row, _] = clarity.reverberation(voices, listener).rows
    edges = clarity.bandwidth(voices, listener).rows

    assert row[1] == pytest.approx(0.2, abs=1e-6)
    assert row[-1] == "missing"
    telephone = [row for row in edges if row[0] == 3400.0]
    assert all(row[2] == pytest.approx(0.0, abs=1e-6) for row in telephone)


@pytest.mark.parametrize("snr_db", [5.0, 15.0])
def test_minimum_statistics_hear_white_noise_under_bursts(snr_db: float) -> None:
    rng = np.random.default_rng(0)
    voice = rng.standard_normal(8 * ANALYSIS_RATE) * (np.arange(8 * ANALYSIS_RATE) % 12_000 < 7000)
    loud = np.mean(voice[voice != 0] ** 2)
    noise = rng.standard_normal(len(voice)) * np.sqrt(loud * 10 ** (-snr_db / 10))

    found = clarity_peers.minimum_statistics_db(voice + noise)

    assert found == pytest.approx(snr_db, abs=3.0)
