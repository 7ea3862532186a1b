"""Steady load from a process of its own: `python -m cli.drills.load DOOR RATE FILE`.

One line of JSON a request until it is ended: when it was asked, how long it took, its status, the
versions that answered, and the families for which the champion stood in.
"""

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

import httpx2
import numpy as np

from cli.bench.takes import wav
from models.audio import ANALYSIS_RATE, Audio

SINGERS = 200
TIMEOUT_S = 60


async def drive(door: str, rate: float, file: TextIO) -> None:
    """Requests at fixed times, whether or not the earlier ones have been answered."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    bodies = [wav(take(hz)) for hz in (110, 165, 220, 330)]
    client = httpx2.AsyncClient(base_url=door, timeout=TIMEOUT_S)
    async with client, asyncio.TaskGroup() as group:
        count, started = 0, time.monotonic()
        while not ended.is_set():
            group.create_task(_ask(client, count, bodies[count % len(bodies)], file))
            count += 1
            await asyncio.sleep(max(0.0, started + count / rate - time.monotonic()))


async def _ask(client: httpx2.AsyncClient, number: int, body: bytes, file: TextIO) -> None:
    asked = time.time()
    headers = {"X-Drill-User": f"usr_drill{number * 7919 % SINGERS}"}
    seen: dict[str, object] = {"status": 0}
    try:
        reply = await client.post(
            "/v1/analyze",
            headers=headers,
            files={"file": ("take.wav", body)},
            data={"families": "pitch"},
        )
        seen = {"status": reply.status_code}
        if reply.status_code == 200:
            found = reply.json()
            seen["version"] = found["versions"]["pitch"]["version"]
            seen["fallbacks"] = found["fallbacks"]
            seen["measured"] = found["pitch"]["absent"] is None
        else:
            seen["error"] = reply.text[:300]
    except httpx2.HTTPError as error:
        seen["error"] = f"{type(error).__name__}: {error}"
    file.write(
        json.dumps({"number": number, "at": asked, "seconds": time.time() - asked, **seen}) + "\n"
    )
    file.flush()


def take(hz: float) -> Audio:
    """A second of a steady voice-like tone with its overtones."""
    t = np.arange(ANALYSIS_RATE) / ANALYSIS_RATE
    sound = np.sum([np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 8)], axis=0)
    return Audio((0.2 * sound).astype(np.float32), ANALYSIS_RATE)


if __name__ == "__main__":
    with Path(sys.argv[3]).open("a") as opened:
        asyncio.run(drive(sys.argv[1], float(sys.argv[2]), opened))
