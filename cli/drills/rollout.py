"""Rollouts, drilled: every step of a version's life, and every way a version can fail its users."""

import time
from collections.abc import Mapping

from cli.drills.drill import FAMILY, Drill, Step, shares, versions_of, watched

BACK_S = 10.0  # in which a guardrail takes a failing version back


def steady(drill: Drill) -> tuple[float, str, bool]:
    seen = versions_of(watched(drill))
    return 0.0, shares(seen), set(seen) == {"1"}


def shadow(drill: Drill) -> tuple[float, str, bool]:
    drill.start("2", mode="shadow")
    took = drill.until(lambda r: r["state"] == "shadow")
    seen = versions_of(watched(drill))
    compared = drill.client.get(f"/v1/rollouts/{FAMILY}/compare").json()["trial"]["requests"]
    return took, f"{compared} compared; {shares(seen)}", set(seen) == {"1"} and compared > 0


def canary(percent: float) -> Step:
    def step(drill: Drill) -> tuple[float, str, bool]:
        drill.do("PATCH", f"/{FAMILY}", {"mode": "canary", "percent": percent})
        took = drill.until(lambda r: r["route"]["percent"] == {"2": percent})
        time.sleep(drill.effect_s)
        seen = versions_of(watched(drill))
        return took, shares(seen), set(seen) <= {"1", "2"} and "2" in seen

    return step


def promote(drill: Drill) -> tuple[float, str, bool]:
    return _switch(drill, "promote", "2")


def roll_back(drill: Drill) -> tuple[float, str, bool]:
    return _switch(drill, "rollback", "1")


def _switch(drill: Drill, action: str, version: str) -> tuple[float, str, bool]:
    """One write, and a moment later nobody is answered by another version."""
    drill.do("POST", f"/{FAMILY}/{action}", {"reason": "drill"})
    written = time.time()
    time.sleep(drill.effect_s)
    seen = versions_of(watched(drill))
    others = [r.at - written for r in drill.requests(written) if r.version != version]
    return max(others, default=0.0), shares(seen), set(seen) == {version}


def delete(drill: Drill) -> tuple[float, str, bool]:
    drill.do("POST", f"/{FAMILY}/retire", {"reason": "drill"})
    took = drill.until(lambda r: set(r["route"]["hosts"]) == {"1"})
    seen = versions_of(watched(drill))
    return took, shares(seen), set(seen) == {"1"}


def crashing(drill: Drill) -> tuple[float, str, bool]:
    """It never starts: given up, and no traffic ever reaches it."""
    drill.start("3")
    took = drill.until(lambda r: r["challenger"] is None)
    latest = drill.history()[0]
    seen = versions_of(watched(drill))
    return took, latest["reason"][-60:], latest["action"] == "give_up" and set(seen) == {"1"}


def failing(version: str) -> Step:
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
        return took, latest["reason"], by_itself

    return step


STEPS: Mapping[str, Step] = {
    "steady": steady,
    "deploy v2, shadow": shadow,
    "canary 10 %": canary(10),
    "canary 50 %": canary(50),
    "promote": promote,
    "roll back": roll_back,
    "delete v2": delete,
    "v3 crashes at start": crashing,
    "v4 hangs": failing("4"),
    "v5 answers NaN": failing("5"),
    "v6 raises": failing("6"),
    "v7 is ten times slower": failing("7"),
}

PROMISED_S: Mapping[str, float] = {
    "promote": 1.0,
    "roll back": 1.0,
    "v4 hangs": BACK_S,
    "v5 answers NaN": BACK_S,
    "v6 raises": BACK_S,
    "v7 is ten times slower": BACK_S,
}
