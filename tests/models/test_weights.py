"""Weights are exactly those the manifest names, or they are not there."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from models import engines, finite, shipped, weights
from models.engine import Engine, Task, Unavailable
from models.results import Family, FamilyResult, Measure, Pitch, Reason, Version
from models.weights import WeightsUnavailable
from tests.signals import tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tensors = {"layer.weight": torch.arange(6.0).reshape(2, 3)}
    weights.save(
        "toy", "1", tensors, licence="MIT", metadata={"bins": "3"}, card="Toy.", folder=tmp_path
    )
    return tmp_path


def test_what_was_saved_is_what_is_loaded(folder: Path) -> None:
    found = weights.load("toy", "1", folder)

    assert found.tensors["layer.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found.metadata["bins"] == "3"
    assert found.metadata["licence"] == found.version.licence == "MIT"
    assert len(found.version.sha256) == 64


def test_truncated_altered_and_missing_weights_are_refused(folder: Path) -> None:
    path = folder / "toy-1.safetensors"
    whole = path.read_bytes()

    for content in (whole[:-4], whole[:-1] + b"\x01", b""):
        path.write_bytes(content)
        with pytest.raises(WeightsUnavailable, match="sha256"):
            weights.load("toy", "1", folder)
    path.unlink()
    with pytest.raises(WeightsUnavailable, match="cannot be read"):
        weights.load("toy", "1", folder)
    with pytest.raises(WeightsUnavailable, match="No weights named"):
        weights.load("toy", "2", folder)


@pytest.mark.parametrize("family", ["pitch", "timbre", "fluency"])
def test_a_version_that_does_not_exist_is_not_claimed(family: str) -> None:
    with pytest.raises(WeightsUnavailable):
        engines.load(family, "99", "cpu")  # type: ignore[arg-type]


def test_without_weights_the_family_says_so_and_the_others_answer() -> None:
    from models import graph

    ready = {
        "pitch": engines.load_or_unavailable("pitch", "1", "cpu"),
        "emotion": engines.load_or_unavailable("emotion", "99", "cpu"),
    }

    [found] = graph.analyze([tone(220.0, 1)], ready, ("pitch", "emotion"))  # type: ignore[arg-type]

    assert found.pitch.absent is None
    assert found.emotion.absent is not None
    assert found.emotion.absent.reason == "model_unavailable"


def test_the_digest_of_an_algorithm_follows_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights.of_code("fluency", "1")
    for source in shipped.SOURCES.glob("*.py"):
        shutil.copy(source, tmp_path)

    monkeypatch.setattr(shipped, "SOURCES", tmp_path)
    assert weights.of_code("fluency", "1") == before
    changed = tmp_path / "syllables.py"
    changed.write_text(changed.read_text() + "# changed")

    assert weights.of_code("fluency", "1").sha256 != before.sha256


def test_a_digest_says_which_weights_are_meant_whatever_their_version(folder: Path) -> None:
    sha256 = weights.load("toy", "1", folder).version.sha256

    found = weights.load("toy", "7", folder, sha256=sha256)

    assert (found.version.version, found.version.sha256) == ("7", sha256)


def test_an_algorithm_answers_under_any_version_of_its_digest_and_under_no_other() -> None:
    sha256 = shipped.code_digest("fluency")

    assert engines.load("fluency", "4", sha256=sha256).version.version == "4"
    with pytest.raises(WeightsUnavailable, match="this release computes"):
        engines.load("fluency", "1", sha256="0" * 64)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    broken = {"layer.weight": torch.full((2,), torch.nan)}
    weights.save("toy", "1", broken, licence="MIT", metadata={}, card="Toy.", folder=tmp_path)

    with pytest.raises(WeightsUnavailable, match="not numbers"):
        weights.load("toy", "1", tmp_path)


@pytest.fixture
def mad() -> dict[Family, Engine]:
    """Every network's engine, where the network itself answers with infinity."""
    found: dict[Family, Engine] = {family: engines.load(family) for family in shipped.NETWORKS}
    for engine in found.values():
        for parameter in list(engine.network.parameters())[-2:]:  # type: ignore[attr-defined]
            parameter.data.mul_(torch.inf)
    return found


def test_an_engine_whose_answers_are_not_numbers_answers_nobody(mad: dict[Family, Engine]) -> None:
    for family, engine in mad.items():
        useless = engines.checked(engine)

        assert isinstance(useless, Unavailable), family
        assert useless.why.startswith("not finite")
    fine = engines.load("activity")
    assert engines.checked(fine) is fine


class Oversensitive:
    """Does not finish on loud takes."""

    family: Family = "pitch"
    version = Version(name="pitch", version="9", sha256="")

    def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
        peaks = [float(np.abs(task.audio.samples).max()) for task in tasks]
        finite.require(torch.tensor([peak if peak < 0.5 else torch.inf for peak in peaks]))
        return [Pitch(measures={"f0_median_hz": Measure(value=p, unit="Hz")}) for p in peaks]


def test_a_take_with_no_finite_answer_spoils_no_other() -> None:
    quiet, loud = Task(tone(220, level=0.1)), Task(tone(220, level=0.9))

    first, second, third = engines.answer(Oversensitive(), [quiet, loud, quiet])

    assert first.absent is third.absent is None
    assert second.absent is not None
    assert second.absent.reason == Reason.failed
    assert second.absent.detail.startswith("not finite")


def test_a_result_that_would_hold_nan_is_called_not_finite() -> None:
    class Careless(Oversensitive):
        def analyze_batch(self, tasks: Sequence[Task]) -> list[FamilyResult]:
            return [Pitch(measures={"f0_median_hz": Measure(value=float("nan"), unit="Hz")})]

    [found] = engines.answer(Careless(), [Task(tone(220))])

    assert found.absent is not None
    assert found.absent.detail.startswith("not finite")
