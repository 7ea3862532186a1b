"""The loop learns, stops when its minutes are spent, and goes on where it was stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from training.loop import Plan, fit


def batches() -> Iterator[Tensor]:
    rng = torch.Generator().manual_seed(0)
    while True:
        yield torch.randn(32, 4, generator=rng)


def loss(network: nn.Linear, batch: Tensor) -> Tensor:
    guess: Tensor = network(batch)
    return (guess - batch.sum(1, keepdim=True)).square().mean()


def test_it_learns_and_reports() -> None:
    torch.manual_seed(0)
    network, reported = nn.Linear(4, 1), []

    steps = fit(
        network,
        batches(),
        loss,
        Plan(0.02, learning_rate=0.05, every=20),
        lambda step, figures: reported.append((step, figures["loss"])),
    )

    assert steps >= reported[-1][0] > 0
    assert reported[-1][1] < 0.1 * reported[0][1]
    assert not network.training


def test_it_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    kept = tmp_path / "work" / "checkpoint.pt"
    plan = Plan(0.01, learning_rate=0.05, every=10, checkpoint=kept)
    first = fit(nn.Linear(4, 1), batches(), loss, plan, lambda *_: None)

    again = nn.Linear(4, 1)
    longer = Plan(0.015, learning_rate=0.05, every=10, checkpoint=kept)
    second = fit(again, batches(), loss, longer, lambda *_: None)

    assert second > first - 10
    assert again.weight.detach().numpy() == pytest.approx(1.0, abs=0.3)


def test_a_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint.pt"
    plan = Plan(0.005, every=1, checkpoint=kept)
    steps = fit(nn.Linear(4, 1), batches(), loss, plan, lambda *_: None)

    shorter = Plan(0.001, every=1, checkpoint=kept)

    assert fit(nn.Linear(4, 1), batches(), loss, shorter, lambda *_: None) == steps
