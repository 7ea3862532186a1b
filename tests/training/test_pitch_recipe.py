"""The pitch recipe's own arithmetic: which speakers it may see, what it calls certain."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.pitchnet import PitchNet
from training import data
from training.recipes import pitch

CORPORA = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def test_confidence_is_fitted_to_how_often_it_was_right() -> None:
    rng = np.random.default_rng(0)
    clues = rng.normal(1.0, 2.0, (20_000, 2))
    right = rng.random(20_000) < 1 / (1 + np.exp(-(0.7 * clues[:, 0] + 0.3 * clues[:, 1] - 0.5)))

    found = pitch._fitted(clues, right)

    assert (found.voicing, found.mass, found.bias) == pytest.approx((0.7, 0.3, -0.5), abs=0.06)


def test_frames_that_nobody_knows_teach_nothing() -> None:
    torch.manual_seed(0)
    network = PitchNet(8).eval()
    samples = np.random.default_rng(0).standard_normal((1, 32_000)).astype(np.float32)
    known = np.full((1, 201), 220.0, np.float32)
    half = known.copy()
    half[:, 100:] = np.nan

    def slope(f0_hz: np.ndarray) -> torch.Tensor:
        network.zero_grad()
        pitch.loss(network, pitch.Batch(samples, f0_hz)).backward()  # type: ignore[no-untyped-call]
        assert network.voicing.bias is not None
        assert network.voicing.bias.grad is not None
        return network.voicing.bias.grad.clone()

    nothing = slope(np.full_like(known, np.nan))
    assert nothing.abs().max() == 0
    assert 0 < slope(half).abs() < slope(known).abs()


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the recordings of ../shared/data are not here")
def test_no_speaker_is_both_learnt_from_and_judged_by() -> None:
    split = pitch.split(CORPORA)
    judging = data.by_speaker(data.corpora(CORPORA, pitch.CORPORA)).held_out

    groups = [
        {(c.corpus, c.speaker) for c in clips if c.speaker}
        for clips in (split.train, split.held_out, judging)
    ]
    assert not groups[0] & groups[1]
    assert not (groups[0] | groups[1]) & groups[2]
    assert all(clip.shippable for clip in split.train)
