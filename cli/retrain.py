"""`vocality retrain`: a family learns anew as a job of the platform, and its progress is shown."""

import json

from cli import show_jobs
from cli.asking import ask
from cli.watching import watch


def run(
    family: str,
    *,
    minutes: float,
    seed: int,
    workers: int,
    base: str | None,
    sources: dict[str, object],
    server: str | None,
    watched: bool,
    as_json: bool,
) -> None:
    body = {
        "family": family,
        "minutes": minutes,
        "seed": seed,
        "workers": workers,
        "base": base,
        "sources": sources,
    }
    job = ask(server, "POST", "/v1/jobs/retraining", body)
    if as_json:
        print(json.dumps(job))
    else:
        show_jobs.one(job)
    if watched:
        watch(server, job["id"])
