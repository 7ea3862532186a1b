"""No recording breaks a family: a sample of ../shared/data goes through the whole graph."""

from pathlib import Path

import pytest

from models import engines, graph
from models.engine import Engine
from models.results import Family, Reason
from training import data
from training.evaluation.robustness import CORPORA, FAMILIES

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
MOST = 4  # files of a corpus
LONGEST_S = 5.0


@pytest.fixture(scope="module")
def ready() -> dict[Family, Engine]:
    return engines.load_all(FAMILIES, device="cpu")


@pytest.mark.parametrize("corpus", CORPORA)
def test_every_family_answers_or_says_why_not(corpus: str, ready: dict[Family, Engine]) -> None:
    if not (DATA / corpus).is_dir():
        pytest.skip("the recordings of ../shared/data are not here")
    clips = [clip for clip in data.corpus(DATA, corpus) if clip.seconds <= LONGEST_S]
    takes = [clip.audio() for clip in clips[:: max(1, len(clips) // MOST)][:MOST]]

    analyses = graph.analyze(takes, ready, FAMILIES)

    for analysis in analyses:
        for family in FAMILIES:
            result = getattr(analysis, family)
            assert result.absent is None or result.absent.reason is not Reason.failed
            assert result.measures or result.absent or result.absences
