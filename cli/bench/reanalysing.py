"""(f), (g) Reanalysis: its rate beside the engines alone, and what online users feel of it."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import numpy as np

from cli.bench import takes
from cli.bench.over_http import FAMILIES, in_process_rate
from cli.bench.over_http import TAKES as DIFFERENT
from cli.served import Platform, serving
from cli.watching import events
from training.evaluation.report import Section

RECORDINGS = 192
ONLINE = 80  # requests in each state
PAUSE_S = 0.4  # mean of a singer's pauses between two requests
ROUNDS = 2  # with and without, in turn, so that the machine's own drift falls on both


def measure() -> list[Section]:
    chosen = takes.some(DIFFERENT)
    bodies = [takes.wav(audio) for audio in chosen.audios]
    ideal = in_process_rate()
    with (
        TemporaryDirectory() as folder,
        serving(Path(folder) / "var") as platform,
        platform.client() as client,
    ):
        for i in range(RECORDINGS):
            upload = {"file": ("take.wav", bodies[i % len(bodies)])}
            client.post("/v1/recordings", files=upload).raise_for_status()
        rate = _rate(client, chosen.origin, ideal)
        online = _online(client, platform, bodies)
    return [rate, online]


def _rate(client: httpx2.Client, origin: str, ideal: float) -> Section:
    section = Section(
        "(f) Reanalysis on Ray Data beside the engines alone",
        f"{RECORDINGS} recordings ({origin}, as WAV in the object store), all families but the "
        "transcript, on the laptop profile beside an idle platform. The job fetches, decodes, "
        "measures, writes JSON and stores it; the engines alone only measure and write JSON. Both "
        "on one thread an actor. Steady: from the first block that is stored to the last.",
        ("what", "takes/s", "takes/s and actor", "of the engines alone"),
    )
    seen = _run(client, _ask(client, via="data"))
    section.rows.append(("engines alone, one process", ideal, ideal, 1.0))
    for name, rate in (("steady", seen.steady), ("from asking to the report", seen.whole)):
        section.rows.append((name, rate, rate / seen.actors, rate / seen.actors / ideal))
    return section


def _ask(client: httpx2.Client, **more: Any) -> str:  # noqa: ANN401
    body = {"selection": {}, "families": FAMILIES.split(","), **more}
    reply = client.post("/v1/jobs/reanalysis", json=body)
    return str(reply.raise_for_status().json()["id"])


@dataclass(frozen=True, slots=True)
class _Run:
    """Rates in recordings a second."""

    steady: float
    whole: float
    actors: int


def _run(client: httpx2.Client, job: str) -> _Run:
    """Watch it to its end; rates by when its counts of stored results came."""
    families, actors = len(FAMILIES.split(",")), 1
    started, counted = time.monotonic(), list[tuple[float, float]]()
    for kind, told in events(client, job):
        actors = told.get("actors") or actors
        if kind == "progress" and told.get("done"):
            counted.append((datetime.fromisoformat(told["at"]).timestamp(), told["done"]))
        if kind in ("failed", "cancelled"):
            raise RuntimeError(f"The reanalysis {kind}: {told}")
    whole = time.monotonic() - started
    (first, before), (last, after) = counted[0], next(c for c in counted if c[1] == counted[-1][1])
    steady = (after - before) / families / (last - first)
    return _Run(steady, RECORDINGS / whole, actors)


def _online(client: httpx2.Client, platform: Platform, bodies: Sequence[bytes]) -> Section:
    section = Section(
        "(g) Online requests beside a reanalysis in the bulk lane",
        f"`POST /v1/analyze` by one client that pauses {PAUSE_S} s on average, laptop profile, "
        f"{ONLINE} requests a state and round, {ROUNDS} rounds in turn; beside it nothing, or a "
        "reanalysis of the same families through the models that serve.",
        ("beside it", "p50 ms", "p95 ms", "failed", "reanalysed takes/s"),
    )
    alone, beside, taken = _Seen(), _Seen(), list[float]()
    asyncio.run(_ask_online(platform, bodies, 16, seed=9))  # warm
    for number in range(ROUNDS):
        alone.add(asyncio.run(_ask_online(platform, bodies, ONLINE, seed=number)))
        # Options of its own: nothing that an earlier round has stored is of use to it.
        job = _ask(client, via="lane", options={"a4_hz": 441 + number})
        _await_progress(client, job)
        done, since = _done(client, job), time.monotonic()
        beside.add(asyncio.run(_ask_online(platform, bodies, ONLINE, seed=number)))
        taken.append((_done(client, job) - done) / (time.monotonic() - since))
        client.post(f"/v1/jobs/{job}/cancel")
    rate = float(np.mean(taken)) / len(FAMILIES.split(","))
    section.rows.append(("nothing", *alone.figures(), ""))
    section.rows.append(("a reanalysis", *beside.figures(), rate))
    ratio = beside.p95 / alone.p95
    section.notes.append(f"p95 beside a reanalysis over p95 without: **{ratio:.2f}**.")
    return section


def _await_progress(client: httpx2.Client, job: str) -> None:
    for kind, told in events(client, job):
        if kind == "progress" and told.get("done"):
            return


def _done(client: httpx2.Client, job: str) -> int:
    return int(client.get(f"/v1/jobs/{job}").raise_for_status().json()["progress"]["done"])


class _Seen:
    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        self.failed = 0

    def add(self, other: "_Seen") -> None:
        self.latencies_s += other.latencies_s
        self.failed += other.failed

    @property
    def p95(self) -> float:
        return float(np.percentile(self.latencies_s, 95))

    def figures(self) -> tuple[float, float, int]:
        return float(np.median(self.latencies_s)) * 1000, self.p95 * 1000, self.failed


async def _ask_online(platform: Platform, bodies: Sequence[bytes], count: int, seed: int) -> _Seen:
    """The same takes and pauses in every state."""
    seen, chance = _Seen(), random.Random(seed)
    async with platform.async_client() as session:
        for i in range(count):
            asked = time.perf_counter()
            reply = await session.post(
                "/v1/analyze",
                files={"file": ("take.wav", bodies[i % len(bodies)])},
                data={"families": FAMILIES},
            )
            if reply.status_code == 200:
                seen.latencies_s.append(time.perf_counter() - asked)
            else:
                seen.failed += 1
            await asyncio.sleep(chance.expovariate(1 / PAUSE_S))
    return seen
