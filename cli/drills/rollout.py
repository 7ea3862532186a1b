"""The rollout drill: every step of a version's life under load, and every way it can fail."""

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
EFFECT_S = 1.0  # after which a change is in effect everywhere
PATIENCE_S = 90.0
BACK_S = 10.0  # in which a guardrail takes a failing version back


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the load, as it ended."""

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


@dataclass(slots=True)
class Drill:
    """A platform under load, with the versions to roll out registered."""

    platform: Platform
    client: httpx2.Client
    log: Path
    watch_s: float  # how long each state is watched
    outcomes: list[Outcome] = field(default_factory=list)

    def requests(self, since: float, until: float | None = None) -> list[Request]:
        """Those asked in that time, of the ones that have ended."""
        lines = self.log.read_text().splitlines()
        found = (Request(**json.loads(line)) for line in lines)
        return [r for r in found if since <= r.at and (until is None or r.at < until)]

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
    time.sleep(0.5)  # the last ones end
    return drill.requests(since, until)


def versions_of(requests: Sequence[Request]) -> dict[str, int]:
    return {v: sum(r.version == v for r in requests) for v in sorted({r.version for r in requests})}


def steady(drill: Drill) -> tuple[float, str, bool]:
    seen = versions_of(watched(drill))
    return 0.0, _shares(seen), set(seen) == {"1"}


def shadow(drill: Drill) -> tuple[float, str, bool]:
    drill.start("2", mode="shadow")
    took = drill.until(lambda r: r["state"] == "shadow")
    seen = versions_of(watched(drill))
    compared = drill.client.get(f"/v1/rollouts/{FAMILY}/compare").json()["trial"]["requests"]
    return took, f"{compared} compared; {_shares(seen)}", set(seen) == {"1"} and compared > 0


def canary(percent: float) -> Step:
    def step(drill: Drill) -> tuple[float, str, bool]:
        drill.do("PATCH", f"/{FAMILY}", {"mode": "canary", "percent": percent})
        took = drill.until(lambda r: r["route"]["percent"] == {"2": percent})
        time.sleep(EFFECT_S)
        seen = versions_of(watched(drill))
        return took, _shares(seen), set(seen) <= {"1", "2"} and "2" in seen

    return step


def promote(drill: Drill) -> tuple[float, str, bool]:
    return _switch(drill, "promote", "2")


def roll_back(drill: Drill) -> tuple[float, str, bool]:
    return _switch(drill, "rollback", "1")


def _switch(drill: Drill, action: str, version: str) -> tuple[float, str, bool]:
    """One write, and a second later nobody is answered by another version."""
    drill.do("POST", f"/{FAMILY}/{action}", {"reason": "drill"})
    written = time.time()
    watched(drill)
    asked_later = drill.requests(written + EFFECT_S)
    others = [r.at - written for r in drill.requests(written) if r.version != version]
    took = max(others, default=0.0)
    return took, _shares(versions_of(asked_later)), set(versions_of(asked_later)) == {version}


def delete(drill: Drill) -> tuple[float, str, bool]:
    drill.do("POST", f"/{FAMILY}/retire", {"reason": "drill"})
    took = drill.until(lambda r: set(r["route"]["hosts"]) == {"1"})
    seen = versions_of(watched(drill))
    return took, _shares(seen), set(seen) == {"1"}


def crashing(drill: Drill) -> tuple[float, str, bool]:
    """It never starts: given up, and no traffic ever reaches it."""
    drill.start("3")
    took = drill.until(lambda r: r["challenger"] is None)
    latest = drill.history()[0]
    seen = versions_of(watched(drill))
    return took, latest["reason"][-60:], latest["action"] == "give_up" and set(seen) == {"1"}


def failing(version: str, what: str) -> Step:
    """It starts and then fails its users: they get the champion's answers, and it is taken back."""

    def step(drill: Drill) -> tuple[float, str, bool]:
        drill.start(version)
        drill.until(lambda r: r["state"] == "canary")
        warm = time.time()
        drill.until(lambda r: r["challenger"] is None)
        back = time.time()
        latest = drill.history()[0]
        first = min((r.at for r in drill.requests(warm) if r.fallbacks), default=warm)
        took = back - first
        by_itself = latest["actor_id"] == "guardrail" and latest["action"] == "rollback"
        return took, latest["reason"], by_itself and took <= BACK_S

    return step


def registry_gone(drill: Drill) -> tuple[float, str, bool]:
    """MLflow is killed: everything goes on, and readiness says so."""
    started = time.monotonic()
    for process in drill.platform.descendants("mlflow"):
        process.kill()
    while (state := _readiness(drill))["dependencies"]["registry"] == "ok":
        if time.monotonic() - started > PATIENCE_S:
            return PATIENCE_S, "readiness never said so", False
        time.sleep(0.2)
    took = time.monotonic() - started
    seen = versions_of(watched(drill))
    return took, f"{state['status']}; {_shares(seen)}", state["status"] == "degraded" and bool(seen)


def operator_killed(drill: Drill) -> tuple[float, str, bool]:
    """The reconciler's process dies while it brings a version up: the next one goes on."""
    drill.start("2", percent=50)
    for process in drill.platform.descendants("platform:Worker"):
        process.kill()
    took = drill.until(lambda r: r["state"] == "canary")
    drill.do("POST", f"/{FAMILY}/rollback", {"reason": "drill"})
    drill.until(lambda r: set(r["route"]["hosts"]) == {"1"})
    return took, "came up all the same", True


def _readiness(drill: Drill) -> dict[str, Any]:
    return dict(drill.client.get("/readyz").json())


def _shares(seen: Mapping[str, int]) -> str:
    total = sum(seen.values()) or 1
    return ", ".join(f"v{version} {100 * n / total:.0f} %" for version, n in seen.items())


STEPS: Mapping[str, Step] = {
    "steady": steady,
    "deploy v2, shadow": shadow,
    "canary 10 %": canary(10),
    "canary 50 %": canary(50),
    "promote": promote,
    "roll back": roll_back,
    "delete v2": delete,
    "v3 crashes at start": crashing,
    "v4 hangs": failing("4", "hangs"),
    "v5 answers NaN": failing("5", "NaN"),
    "v6 raises": failing("6", "raises"),
    "v7 is ten times slower": failing("7", "slow"),
    "operator killed": operator_killed,
    "registry killed": registry_gone,
}


def run(drill: Drill, only: Sequence[str] = tuple(STEPS)) -> Iterator[Outcome]:
    """One step after the other; each holds only if no request of its time failed."""
    for name in only:
        since = time.time()
        try:
            took, found, held = STEPS[name](drill)
        except Exception as error:  # the run boundary: the table says what broke
            took, found, held = time.time() - since, f"{type(error).__name__}: {error}", False
        asked = drill.requests(since)
        failed = [request for request in asked if request.failed]
        if failed:
            found += f"; first failure: {failed[0].error or failed[0]}"
        yield Outcome(
            name, len(asked), len(failed), took, found, held and not failed and bool(asked)
        )


@contextmanager
def under_load(platform: Platform, rate: float, watch_s: float) -> Iterator[Drill]:
    """The load starts and ends with the block."""
    log = platform.home.parent / "load.jsonl"
    log.touch()
    command = [sys.executable, "-m", "cli.drills.load", platform.door, str(rate), str(log)]
    loader = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        with platform.client() as client:
            drill = Drill(platform, client, log, watch_s)
            _await_load(drill)
            yield drill
    finally:
        loader.terminate()
        loader.wait(90)


def _await_load(drill: Drill) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not drill.requests(0.0) and time.monotonic() < deadline:
        time.sleep(0.2)
