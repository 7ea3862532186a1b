"""`python -m cli.bench.ideal TAKES REQUESTS FAMILIES`: takes a second of the engines alone."""

import sys
import time

import torch

from cli.bench import takes
from deployments.host import HostSpec
from deployments.profiles import read
from models import engines, graph
from models.graph import FAMILIES


def main(count: int, requests: int, names: list[str]) -> float:
    """The rate at which one thread works through the takes in batches as large as a host's."""
    torch.set_num_threads(1)
    families = tuple(family for family in FAMILIES if family in names)
    ready = engines.load_all(families, device="cpu")
    audios = [takes.some(count).audios[i % count] for i in range(requests)]
    spec = HostSpec.model_validate(read("laptop").applications[0].args)
    size = max(1, int(spec.batch_seconds / max(audio.seconds for audio in audios)))
    graph.analyze(audios[:1], ready, families)
    started = time.perf_counter()
    for start in range(0, requests, size):
        for analysis in graph.analyze(audios[start : start + size], ready, families):
            analysis.model_dump_json()
    return requests / (time.perf_counter() - started)


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(",")))
