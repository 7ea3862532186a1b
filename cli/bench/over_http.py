"""(b) The same work over HTTP through Ray Serve, and (d) what the platform costs to have."""

import asyncio
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx2
import numpy as np
import psutil

from app import embedded
from cli.bench import takes
from cli.served import Platform, serving
from training.evaluation.report import Section

FAMILIES = "activity,pitch,timbre,emotion,clarity,prosody,fluency"
TAKES = 16
REQUESTS = 96  # a level of load: bounded in count
LOAD_S = 90  # and in time
CLIENTS = (1, 16)
MLFLOW_S = 90  # longest wait for it


@dataclass(frozen=True, slots=True)
class Load:
    """What some clients saw who asked without pause."""

    latencies_s: Sequence[float]
    wall_s: float
    failed: int

    @property
    def rate(self) -> float:
        return len(self.latencies_s) / self.wall_s


def measure() -> tuple[Section, Section]:
    chosen = takes.some(TAKES)
    speed = Section(
        "(b) Over HTTP through Ray Serve, laptop profile",
        f"`POST /v1/analyze`, {chosen.origin} of {chosen.seconds / TAKES:.1f} s on average as WAV, "
        "all families but the transcript; clients on loopback ask without pause. Serving "
        "efficiency is throughput over HTTP over that of the same batched engines in one "
        "process with the same number of threads.",
        ("clients", "p50 ms", "p95 ms", "takes/s", "x real time", "efficiency", "failed"),
    )
    bodies = [takes.wav(audio) for audio in chosen.audios]
    ideal = in_process_rate()
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        with serving(Path(folder) / "var") as platform:
            start_s = time.perf_counter() - started
            asyncio.run(load(platform, bodies, clients=4, requests=16))  # warm
            for clients in CLIENTS:
                seen = asyncio.run(load(platform, bodies, clients=clients, requests=REQUESTS))
                speed.rows.append(_row(clients, seen, ideal, chosen.seconds / TAKES))
            cost = _cost(start_s, platform)
    speed.notes.append(f"In one process, batched: {ideal:.2f} takes/s.")
    return speed, cost


def in_process_rate() -> float:
    """Takes a second of the batched engines alone, in a process of their own."""
    command = [sys.executable, "-m", "cli.bench.ideal", str(TAKES), str(REQUESTS), FAMILIES]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def load(platform: Platform, bodies: Sequence[bytes], *, clients: int, requests: int) -> Load:
    """`requests` in all from `clients` at once; ends by itself."""
    waiting = list(range(requests))
    latencies: list[float] = []
    failed = 0
    deadline = time.monotonic() + LOAD_S

    async def client(session: httpx2.AsyncClient) -> None:
        nonlocal failed
        while waiting and time.monotonic() < deadline:
            body = bodies[waiting.pop() % len(bodies)]
            asked = time.perf_counter()
            reply = await session.post(
                "/v1/analyze",
                files={"file": ("take.wav", body)},
                data={"families": FAMILIES},
            )
            if reply.status_code == 200:
                latencies.append(time.perf_counter() - asked)
            else:
                failed += 1  # a quick refusal is no throughput

    async with platform.async_client() as session:
        started = time.perf_counter()
        await asyncio.gather(*(client(session) for _ in range(clients)))
        return Load(latencies, time.perf_counter() - started, failed)


def _row(clients: int, seen: Load, ideal: float, seconds: float) -> Sequence[object]:
    p50, p95 = np.percentile(seen.latencies_s, (50, 95)) * 1000
    efficiency = seen.rate / ideal
    return (clients, p50, p95, seen.rate, seen.rate * seconds, efficiency, seen.failed)


def _cost(start_s: float, platform: Platform) -> Section:
    section = Section(
        "(d) What the platform costs to have, laptop profile",
        "Proportional set size of every process of the platform after the load above, and the "
        "time from an empty command line to ready.",
        ("what", "processes", "PSS MB"),
    )
    _await_mlflow(platform)
    processes, sizes = _processes(platform), defaultdict[str, float](float)
    for process in processes:
        sizes[_kind(process)] += _pss(process) / 2**20
    counts = Counter(map(_kind, processes))
    section.rows += [(kind, counts[kind], size) for kind, size in sorted(sizes.items())]
    section.rows.append(("all", len(processes), sum(sizes.values())))
    section.notes.append(f"Ready after {start_s:.1f} s.")
    return section


SERVERS = {"postgres": "PostgreSQL", "redis-server": "Redis"}  # by the process's own name
KINDS = {
    "mlflow": "MLflow",
    "models.decoder": "decoders",
    "ServeReplica": "Serve replicas",
    "Proxy": "Serve proxy and controller",
    "Controller": "Serve proxy and controller",
    "ray": "Ray",
    "vocality": "command line",
}


def _await_mlflow(platform: Platform) -> None:
    """It comes up in the background: without its server process the sum would flatter."""
    deadline = time.monotonic() + MLFLOW_S
    while len(platform.descendants("mlflow")) < 2 and time.monotonic() < deadline:
        time.sleep(1)
    time.sleep(5)  # and has loaded what it needs


def _processes(platform: Platform) -> list[psutil.Process]:
    """Its process and all descendants, and the servers that were started apart from it."""
    servers = [pid for pid in embedded.pids(platform.home).values() if pid]
    roots = [psutil.Process(pid) for pid in (platform.process.pid, *servers)]
    every = {process for root in roots for process in (root, *root.children(recursive=True))}
    return sorted(every, key=lambda process: process.pid)


def _kind(process: psutil.Process) -> str:
    try:
        name, line = process.name(), " ".join(process.cmdline())
    except psutil.Error:
        return "gone"
    if name in SERVERS:
        return SERVERS[name]
    return next((kind for mark, kind in KINDS.items() if mark in line), "other")


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.Error:
        return 0.0
