"""Weights are exactly those the manifest names, or they are not there."""

from pathlib import Path

import pytest
import torch

from models import engines, timbre, weights
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


def test_the_digest_of_an_algorithm_follows_its_source() -> None:
    one = weights.of_code("timbre", "1", timbre)

    assert one == weights.of_code("timbre", "1", timbre)
    assert one.sha256 != weights.of_code("timbre", "1", timbre, weights).sha256
