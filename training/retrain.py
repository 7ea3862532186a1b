"""`python -m training.retrain pitch --minutes 25`: from corpora to checked weights, on one page."""

import argparse
import importlib
import logging
from pathlib import Path

import torch

from models import weights
from models.results import Version
from training.loop import Run, Trained

log = logging.getLogger(__name__)


def retrain(name: str, version: str, run: Run, folder: Path = weights.FOLDER) -> Version:
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
        folder=folder,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="training.retrain", description=__doc__)
    parser.add_argument("recipe", help="a module of training.recipes: pitch, activity, emotion")
    parser.add_argument("--version", default="1", help="of the weights to write")
    parser.add_argument("--minutes", type=float, default=25.0, help="of training")
    parser.add_argument("--corpora", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/vocality-training"))
    parser.add_argument("--folder", type=Path, default=weights.FOLDER, help="for the weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(asked.threads)
    run = Run(asked.corpora, asked.work / asked.recipe, asked.minutes, asked.seed)
    log.info("wrote %s", retrain(asked.recipe, asked.version, run, asked.folder))


if __name__ == "__main__":
    main()
