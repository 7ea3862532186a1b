"""Kills: processes of the platform end at once, under load, and nobody's request or job is lost."""

import time
from collections.abc import Mapping
from typing import Any

from cli.bench.takes import wav
from cli.drills.drill import FAMILY, PATIENCE_S, Drill, Step, shares, versions_of, watched
from cli.drills.load import take

RECORDINGS = 24  # of the reanalysis that is killed


def replica_killed(name: str) -> Step:
    """The only replica of its kind: who asks meanwhile waits for the next one."""

    def step(drill: Drill) -> tuple[float, str, bool]:
        started = time.monotonic()
        [old] = drill.platform.descendants(name)
        old.kill()
        while not [p for p in drill.platform.descendants(name) if p.pid != old.pid]:
            if time.monotonic() - started > PATIENCE_S:
                return PATIENCE_S, "no other came up", False
            time.sleep(0.1)
        took = time.monotonic() - started
        seen = versions_of(watched(drill))
        return took, shares(seen), set(seen) == {"1"}

    return step


def operator_killed(drill: Drill) -> tuple[float, str, bool]:
    """The reconciler's process dies while it brings a version up: the next one goes on."""
    drill.start("2", percent=50)
    for process in drill.platform.descendants("platform:Worker"):
        process.kill()
    took = drill.until(lambda r: r["state"] == "canary")
    drill.do("POST", f"/{FAMILY}/rollback", {"reason": "drill"})
    drill.until(lambda r: set(r["route"]["hosts"]) == {"1"})
    return took, "came up all the same", True


def reanalysis_killed(drill: Drill) -> tuple[float, str, bool]:
    """Its driver dies amid the work: the next one does the rest, and nothing twice."""
    body = wav(take(220))
    ids = [_uploaded(drill, body) for _ in range(RECORDINGS)]
    asked = {"selection": {"ids": ids}, "families": [FAMILY], "via": "lane"}
    job = drill.client.post("/v1/jobs/reanalysis", json=asked).raise_for_status().json()["id"]
    started, killed = time.monotonic(), 0
    while (seen := drill.client.get(f"/v1/jobs/{job}").json())["state"] not in ("done", "failed"):
        if time.monotonic() - started > PATIENCE_S:
            break
        if not killed and seen["progress"].get("done", 0) > 0:
            killed = _kill(drill, job)
        time.sleep(0.1)
    done = seen["progress"].get("done", 0)
    found = f"{seen['state']}; {killed} driver killed, {done} of {RECORDINGS} results"
    return time.monotonic() - started, found, seen["state"] == "done" and done == RECORDINGS


def _uploaded(drill: Drill, body: bytes) -> str:
    reply = drill.client.post("/v1/recordings", files={"file": ("take.wav", body)})
    return str(reply.raise_for_status().json()["id"])


def _kill(drill: Drill, job: str) -> int:
    drivers = drill.platform.descendants(job)
    for process in drivers:
        process.kill()
    return len(drivers)


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
    return took, f"{state['status']}; {shares(seen)}", state["status"] == "degraded" and bool(seen)


def _readiness(drill: Drill) -> dict[str, Any]:
    return dict(drill.client.get("/readyz").json())


STEPS: Mapping[str, Step] = {
    "models killed": replica_killed("analyzers:AnalyzerHost"),
    "conductor killed": replica_killed("platform:Conductor"),
    "operator killed": operator_killed,
    "reanalysis killed": reanalysis_killed,
    "registry killed": registry_gone,
}
