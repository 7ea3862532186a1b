"""A drill: a platform under load from another process, steps that break it, and what was seen."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from cli.served import Platform

FAMILY = "pitch"
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the load, as it ended."""

    number: int
    at: float
    seconds: float
    status: int
    version: str = ""
    fallbacks: Mapping[str, str] = field(default_factory=dict)
    measured: bool = False
    error: str = ""

    @property
    def failed(self) -> bool:
        return self.status != 200 or not self.measured


@dataclass(frozen=True, slots=True)
class Outcome:
    """One line of the drills' table."""

    drill: str
    requests: int
    failed: int
    seconds: float  # until it was as wanted
    found: str
    held: bool
    within_s: float | None = None  # promised: a machine of some speed keeps it

    @property
    def late(self) -> bool:
        return self.within_s is not None and self.seconds > self.within_s


@dataclass(slots=True)
class Drill:
    """A platform under load, with the versions to roll out registered."""

    platform: Platform
    client: httpx2.Client
    log: Path
    watch_s: float  # how long each state is watched
    effect_s: float  # after which a change must be in effect everywhere
    outcomes: list[Outcome] = field(default_factory=list)

    def requests(self, since: float, until: float | None = None) -> list[Request]:
        """Those asked in that time, of the ones that have ended."""
        lines = self.log.read_text().splitlines()
        found = (Request(**json.loads(line)) for line in lines)
        return [r for r in found if since <= r.at and (until is None or r.at < until)]

    def ended(self, until: float) -> None:
        """Waits until each request that was asked before then has ended, well or not."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            known = {request.number: request.at for request in self.requests(0.0)}
            later = min((number for number, at in known.items() if at >= until), default=None)
            if later is not None and all(number in known for number in range(later)):
                return
            time.sleep(0.1)
        raise TimeoutError(f"Requests without an end after {PATIENCE_S:.0f} s.")

    def rollout(self) -> dict[str, Any]:
        return dict(self.client.get(f"/v1/rollouts/{FAMILY}").raise_for_status().json())

    def do(self, method: str, path: str, body: Mapping[str, object]) -> None:
        reply = self.client.request(method, f"/v1/rollouts{path}", json=body)
        if reply.is_error:
            raise RuntimeError(f"{method} {path}: {reply.text}")

    def start(self, version: str, *, mode: str = "canary", percent: float = 50) -> None:
        share = {"percent": percent} if mode == "canary" else {}
        self.do("POST", "", {"family": FAMILY, "version": version, "mode": mode, **share})

    def until(
        self, wanted: Callable[[dict[str, Any]], bool], patience_s: float = PATIENCE_S
    ) -> float:
        """Seconds until the rollout is so. Raises TimeoutError."""
        started = time.monotonic()
        while not wanted(seen := self.rollout()):
            if time.monotonic() - started > patience_s:
                raise TimeoutError(f"Not as wanted after {patience_s:.0f} s: {seen}")
            time.sleep(0.1)
        return time.monotonic() - started

    def history(self) -> list[dict[str, Any]]:
        reply = self.client.get(f"/v1/rollouts/{FAMILY}/history").raise_for_status()
        return list(reply.json()["items"])


Step = Callable[
    [Drill], tuple[float, str, bool]
]  # seconds it took, what was found, whether it held


def watched(drill: Drill, seconds: float | None = None) -> list[Request]:
    """Requests asked from now on, for as long as each state is watched."""
    since = time.time()
    time.sleep(seconds or drill.watch_s)
    until = time.time()
    drill.ended(until)
    return drill.requests(since, until)


def versions_of(requests: Sequence[Request]) -> dict[str, int]:
    return {v: sum(r.version == v for r in requests) for v in sorted({r.version for r in requests})}


def shares(seen: Mapping[str, int]) -> str:
    total = sum(seen.values()) or 1
    return ", ".join(f"v{version} {100 * n / total:.0f} %" for version, n in seen.items())


def run(
    drill: Drill, steps: Mapping[str, Step], promised_s: Mapping[str, float]
) -> Iterator[Outcome]:
    """One step after the other; each holds only if no request of its time failed."""
    for name, step in steps.items():
        since = time.time()
        try:
            took, found, held = step(drill)
        except Exception as error:  # the run boundary: the table says what broke
            took, found, held = time.time() - since, f"{type(error).__name__}: {error}", False
        until = time.time()
        try:
            drill.ended(until)
        except TimeoutError as error:
            found, held = f"{found}; {error}", False
        asked = drill.requests(since, until)
        failed = [request for request in asked if request.failed]
        if failed:
            found += f"; first failure: {failed[0].error or failed[0]}"
        held = held and not failed and bool(asked)
        within_s = promised_s.get(name)
        yield Outcome(name, len(asked), len(failed), took, found, held, within_s)


@contextmanager
def under_load(platform: Platform, rate: float, watch_s: float, effect_s: float) -> Iterator[Drill]:
    """The load starts and ends with the block."""
    log = platform.home.parent / "load.jsonl"
    log.touch()
    command = [sys.executable, "-m", "cli.drills.load", platform.door, str(rate), str(log)]
    loader = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        with platform.client() as client:
            drill = Drill(platform, client, log, watch_s, effect_s)
            _await_load(drill)
            yield drill
    finally:
        loader.terminate()
        loader.wait(90)


def _await_load(drill: Drill) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not drill.requests(0.0) and time.monotonic() < deadline:
        time.sleep(0.2)
