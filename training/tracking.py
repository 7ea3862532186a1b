"""A retraining's run in MLflow: opened and closed by the driver, found again by its job."""

import json
import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from models import registry_server
from models.registry_server import LOOK, TRANSFER, RegistryUnavailable

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "retraining"
JOB = "job_id"  # the tag
PAUSE_S = 10.0  # after the server did not answer: curves wait, learning goes on
PATIENCE_S = 60.0  # at the end: what was learnt is worth a wait
Ending = Literal["FINISHED", "FAILED", "KILLED"]

log = logging.getLogger(__name__)
T = TypeVar("T")


def open_run(job_id: str, name: str, tags: Mapping[str, str], parameters: Mapping[str, Any]) -> str:
    """Its id. Raises RegistryUnavailable."""
    from mlflow.entities import Param

    def start(client: "MlflowClient") -> str:
        place = client.get_experiment_by_name(EXPERIMENT)
        where = place.experiment_id if place else client.create_experiment(EXPERIMENT)
        run = client.create_run(where, tags={JOB: job_id, **tags}, run_name=name)
        known = [Param(key, str(value)) for key, value in parameters.items()]
        client.log_batch(run.info.run_id, params=known)
        return str(run.info.run_id)

    return registry_server.ask("The tracking server", start, LOOK)


def close_run(run_id: str, ending: Ending) -> None:
    """Waits for a server that is away; one that stays away leaves it to `bury`."""
    try:
        patiently(lambda client: client.set_terminated(run_id, ending))
    except RegistryUnavailable as error:
        log.warning("the run %s stays open: %s", run_id, error)


def bury(job_id: str) -> list[str]:
    """Close what a job that died has left open as FAILED. Safe to repeat; the runs' ids."""

    def close(client: "MlflowClient") -> list[str]:
        place = client.get_experiment_by_name(EXPERIMENT)
        if place is None:
            return []
        wanted = f"tags.{JOB} = '{job_id}' and attributes.status = 'RUNNING'"
        left = [run.info.run_id for run in client.search_runs([place.experiment_id], wanted)]
        for run_id in left:
            client.set_tag(run_id, "ended_by", "its driver was lost")
            client.set_terminated(run_id, "FAILED")
        return left

    return registry_server.ask("The tracking server", close, LOOK)


def keep(run_id: str, name: str, content: str | Mapping[str, Any]) -> None:
    """An artifact: text, or JSON. Waits for a server that is away."""
    text = content if isinstance(content, str) else json.dumps(content, indent=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text)
        patiently(lambda client: client.log_artifact(run_id, str(path)))


def tag(run_id: str, tags: Mapping[str, str]) -> None:
    def write(client: "MlflowClient") -> None:
        for name, value in tags.items():
            client.set_tag(run_id, name, value)

    patiently(write)


def figures(run_id: str, values: Mapping[str, float]) -> None:
    """What is known once, at the end."""
    from mlflow.entities import Metric

    now = time.time_ns() // 1_000_000
    metrics = [Metric(name, float(value), now, 0) for name, value in values.items()]
    patiently(lambda client: client.log_batch(run_id, metrics))


def patiently(question: "Callable[[MlflowClient], T]") -> T:
    """Asked again until it is answered, for a minute. Raises RegistryUnavailable."""
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            return registry_server.ask("The tracking server", question, TRANSFER)
        except RegistryUnavailable:
            if time.monotonic() > until:
                raise
            time.sleep(1.0)


class Curves:
    """Figures by step. A server that is away holds nothing up: they are kept until it is back.

    A worker that goes on from a checkpoint tells some steps again: the first telling counts.
    """

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self._last: dict[str, int] = {}
        self._waiting: list[tuple[str, float, int, int]] = []  # name, value, ms, step
        self._next = 0.0

    def add(self, step: int, figures: Mapping[str, float]) -> bool:
        """Whether it was news."""
        news = {name: x for name, x in figures.items() if step > self._last.get(name, -1)}
        now = time.time_ns() // 1_000_000
        self._waiting += [(name, float(x), now, step) for name, x in news.items()]
        self._last |= dict.fromkeys(news, step)
        if time.monotonic() >= self._next:
            self.send()
        return bool(news)

    def send(self) -> None:
        if not self._waiting:
            return
        from mlflow.entities import Metric

        metrics = [Metric(*one) for one in self._waiting[:1000]]
        try:
            registry_server.ask(
                "The tracking server", lambda c: c.log_batch(self._run_id, metrics), LOOK
            )
        except RegistryUnavailable as error:
            self._next = time.monotonic() + PAUSE_S
            log.warning("curves wait: %s", error)
            return
        del self._waiting[: len(metrics)]
