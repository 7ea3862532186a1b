"""`python -m training.retrain pitch --minutes 25`: from corpora to checked weights, on one page."""

import argparse
import importlib
import logging
import platform
from datetime import date
from pathlib import Path

import torch

from models import shipped, weights
from models.results import Version
from training.loop import Run, Trained

SHIPPED = ("pitch", "activity", "emotion", "clarity")  # families whose weights a release brings

log = logging.getLogger(__name__)


def retrain(name: str, version: str, run: Run, folder: Path = shipped.FOLDER) -> Version:
    """Train by the recipe called `name` and write NAME-VERSION.safetensors into `folder`."""
    recipe = importlib.import_module(f"training.recipes.{name}")
    torch.manual_seed(run.seed)
    trained: Trained = recipe.train(run)
    log.info("held-out speakers: %s", dict(trained.figures))
    return weights.save(
        name,
        version,
        trained.tensors,
        licence=trained.licence,
        metadata=trained.metadata,
        card=f"{trained.card.strip()}\n\n{_how(name, run)}",
        folder=folder,
    )


def _how(recipe: str, run: Run) -> str:
    """The end of every card: the command and what it ran on."""
    command = f"python -m training.retrain {recipe} --minutes {run.minutes:g} --seed {run.seed}"
    threads = f"{torch.get_num_threads()} thread of a {platform.machine()}"
    return (
        "## Retraining\n\n"
        f"Written by `{command}` with `pip install .[train]` on {date.today()}, {threads}, "
        f"torch {torch.__version__}. With the same seed the figures come out the same within "
        "noise, for the number of steps is what fits in the minutes."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="training.retrain", description=__doc__)
    parser.add_argument("recipe", choices=SHIPPED, help="a module of training.recipes")
    parser.add_argument("--version", default="1", help="of the weights to write")
    parser.add_argument("--minutes", type=float, default=25.0, help="of CPU time, training alone")
    parser.add_argument("--corpora", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/vocality-training"))
    parser.add_argument("--folder", type=Path, default=shipped.FOLDER, help="for the weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    run = Run(asked.corpora, asked.work / asked.recipe, asked.minutes, asked.seed)
    log.info("wrote %s", retrain(asked.recipe, asked.version, run, asked.folder))


if __name__ == "__main__":
    main()
