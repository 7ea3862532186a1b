"""`vocality retrain`: a family learns anew as a job of the platform, and its progress is shown."""

from cli import watching


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
    watching.begin(server, "retraining", body, watched=watched, as_json=as_json)
