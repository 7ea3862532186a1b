"""`python -m training.shipping`: what ships, measured anew and written down beside the weights.

For each family: how its results are spread on its material (what drift is held against), the
memory it needs, the digests of material and recipe, and with --scores what it scores on held-out
speakers. Run it after new weights or a changed algorithm; each entry is for one digest.
"""

import argparse
import json
import logging
import multiprocessing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
import torch

from models import engines, graph, profiles, shipped
from models.audio import Audio
from models.engine import Task
from models.results import Analysis, Family
from models.shipped import FOLDER, NETWORKS, PROFILES, Shipped
from training import dataset, tensors
from training.dataset import Dataset
from training.loop import Judging

log = logging.getLogger(__name__)

SPEECH = ("librispeech_subset", "picovoice_intent", "small_asr")
ACTED = ("ravdess",)  # what emotion learnt from; all else learnt from speech or was made for it
MOST = 100  # clips to a profile
LONGEST_S = 12.0
AT_ONCE = 10
BATCH_S = 120.0  # of audio: what a host gives an engine at once


@dataclass(frozen=True, slots=True)
class Heard:
    """Some clips of a material, evenly taken, and all that the shipped engines say of them."""

    material: Dataset
    takes: Sequence[Audio]
    answers: Sequence[Analysis]


def hear(corpora: Path, names: Sequence[str], families: Sequence[Family]) -> Heard:
    material = dataset.gathered(corpora, names)
    clips = [clip for clip in material.split.train if clip.seconds <= LONGEST_S]
    takes = [clip.audio() for clip in clips[:: max(1, len(clips) // MOST)][:MOST]]
    ready = engines.load_all(graph.closure(families))
    answers = list[Analysis]()
    for at in range(0, len(takes), AT_ONCE):
        with torch.inference_mode():
            answers += graph.analyze(takes[at : at + AT_ONCE], ready, graph.closure(families))
        log.info("%s: heard %d of %d", "+".join(names), len(answers), len(takes))
    return Heard(material, takes, answers)


def describe(found: Shipped, heard: Heard) -> dict[str, Any]:
    """The family's entry, but for its scores."""
    entry: dict[str, Any] = {
        "sha256": found.sha256,
        "memory_bytes": memory_bytes(found.family, heard),
        "profile": profiles.profile(
            getattr(answer, found.family) for answer in heard.answers
        ).model_dump(),
        "data_digest": heard.material.manifest.digest,
    }
    if found.family in NETWORKS:
        recipe = shipped.SOURCES.parent / "training" / "recipes" / f"{found.family}.py"
        entry["code_digest"] = shipped.file_digest(recipe)
    return entry


def scores(found: Shipped, material: Dataset, work: Path) -> dict[str, float]:
    """As retrained versions are judged (training/gate.py), over all held-out speakers."""
    judging = import_module(f"training.judging.{found.family}")
    kept, where = tensors.read(found.files[0]), Judging(work / found.family)
    marks = judging.judge(kept, material.split.held_out, where)
    return {
        metric.name: sum(mark.scored for mark in own) / sum(mark.of for mark in own)
        for metric in judging.METRICS
        if (own := [mark for mark in marks if mark.metric == metric.name])
    }


def memory_bytes(family: Family, heard: Heard) -> int:
    """What the engine takes, on the device it runs on here, for the largest usual batch."""
    needs, tasks, seconds = graph.inputs_of(family, ()), list[Task](), 0.0
    for take, answer in zip(heard.takes, heard.answers, strict=True):
        if (seconds := seconds + take.seconds) <= BATCH_S:
            tasks.append(Task(take, {need: getattr(answer, need) for need in needs}))
    with multiprocessing.get_context("spawn").Pool(1) as alone:  # with no other's peak in it
        return alone.apply(_peak_bytes, (family, tasks))


def _peak_bytes(family: Family, tasks: list[Task]) -> int:
    torch.set_num_threads(1)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is that of who started us
    before = psutil.Process().memory_info().rss
    engines.answer(engines.load(family, device=engines.best_device()), tasks)
    if torch.cuda.is_available():
        return torch.cuda.max_memory_reserved()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 - before


def write(entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Into the file, beside what it says of other families; scores last as long as the digest."""
    path = FOLDER / PROFILES
    kept: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    for family, entry in entries.items():
        same = kept.get(family, {}).get("sha256") == entry["sha256"]
        earlier = {"metrics": kept[family]["metrics"]} if same and "metrics" in kept[family] else {}
        kept[family] = earlier | dict(entry)
    lines = (
        f"{json.dumps(name)}: {json.dumps(kept[name], sort_keys=True)}" for name in sorted(kept)
    )
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    parser = argparse.ArgumentParser(prog="training.shipping", description=__doc__)
    parser.add_argument("families", nargs="*", help="all by default")
    parser.add_argument("--scores", action="store_true", help="judge them too: many minutes")
    parser.add_argument("--corpora", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, default=Path("/tmp/vocality-training/shipping"))
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    release = shipped.everything()
    wanted = [family for family in release if family in (asked.families or release)]
    for names in (SPEECH, ACTED):
        if families := [family for family in wanted if (family == "emotion") == (names == ACTED)]:
            heard = hear(asked.corpora, names, families)
            for family in families:
                entry = describe(release[family], heard)
                if asked.scores and family in NETWORKS:
                    entry["metrics"] = scores(release[family], heard.material, asked.work)
                write({family: entry})
                log.info("%s: %s", family, {k: v for k, v in entry.items() if k != "profile"})


if __name__ == "__main__":
    main()
