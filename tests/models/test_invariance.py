"""The whole graph: alone or in a batch, an Analysis is the same to 1e-5."""

from pathlib import Path

import numpy as np
import pytest

from models import engines, graph
from models.audio import Audio
from models.decode import decode
from models.engine import Engine
from models.results import Family
from tests.same import assert_same_numbers
from tests.signals import join, noise, silence, tone
from training import demo_take

FAMILIES: tuple[Family, ...] = tuple(f for f in graph.FAMILIES if f != "transcript")
CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "librispeech_subset"


@pytest.fixture(scope="module")
def ready() -> dict[Family, Engine]:
    return engines.load_all(FAMILIES, device="cpu")


def takes() -> list[Audio]:
    """Of all lengths and kinds, so that every one is padded and has odd neighbours."""
    sung = demo_take.take()
    return [
        sung,
        tone(220.0, 0.7),
        silence(1.5),
        Audio(sung.samples[40_000:90_000], sung.sample_rate),
        noise(2.0),
        tone(440.0, 0.1),
        join(silence(0.4), sung, silence(1.0)),
        Audio(np.zeros(0, np.float32), sung.sample_rate),
    ]


def test_alone_and_in_a_batch_a_take_is_the_same(ready: dict[Family, Engine]) -> None:
    together = graph.analyze(takes(), ready, FAMILIES)

    for take, mate in zip(takes(), together, strict=True):
        [alone] = graph.analyze([take], ready, FAMILIES)
        assert_same_numbers(alone, mate)


def test_real_speech_is_the_same_alone_and_in_a_batch(ready: dict[Family, Engine]) -> None:
    files = sorted(CORPUS.rglob("*.flac"))[:6]
    if not files:
        pytest.skip("the recordings of ../shared/data are not here")
    audios = [decode(path) for path in files]
    audios = [
        Audio(a.samples[: len(a.samples) // (i + 1)], a.sample_rate) for i, a in enumerate(audios)
    ]

    together = graph.analyze(audios, ready, FAMILIES)

    for take, mate in zip(audios, together, strict=True):
        [alone] = graph.analyze([take], ready, FAMILIES)
        assert_same_numbers(alone, mate)
