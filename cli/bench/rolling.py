"""(h) Rollouts: how long each step takes, and what is lost on the way."""

from cli.drills import rollout, run
from cli.drills.run import RATE
from training.evaluation.report import Section

WATCH_S = 10.0


def measure() -> Section:
    section = Section(
        "(h) Rollouts under load",
        f"Laptop profile, {RATE:g} requests a second from another process at fixed times, each "
        f"state watched for {WATCH_S:g} s. Seconds: until it was in effect, for a replica that "
        "had to start as for a write; for a version that fails, from its first failed request "
        "to the end of its trial. Nobody may be lost: a failed request is the platform's fault.",
        ("step", "seconds", "requests", "lost", "held"),
    )
    for one in run.drills(WATCH_S, rollout.STEPS):
        held = "yes" if one.held else "no"
        section.rows.append((one.drill, one.seconds, one.requests, one.failed, held))
    return section
