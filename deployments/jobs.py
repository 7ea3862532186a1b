"""Jobs: how a driver is started, and `python -m deployments.jobs`, the driver.

A driver joins Ray by itself, as a submitted Ray job does, so that what it starts ends with it and
nothing of it lives in a replica.
"""

import asyncio
import ctypes
import inspect
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import ray
from ray import serve
from ray.serve.exceptions import RayServeException
from sqlalchemy import select

from app import database
from app.jobs import queue
from app.jobs.driving import Launch
from app.jobs.queue import Kind
from app.settings import Settings, settings
from app.tables import Job, Json
from deployments.hand import Failed, Hand, Stopped
from deployments.reanalysis import APPLICATION

ROOT = Path(__file__).resolve().parents[1]

STEP_BACK = 10  # niceness: those who wait online go first
PR_SET_PDEATHSIG = 1  # of Linux's prctl

Run = Callable[[Json, Hand], Any]  # a result as JSON, or a coroutine that gives it


def launch() -> Launch:
    """Drivers of the cluster that this process has joined, with its code and settings."""
    context = ray.get_runtime_context()
    environment = {
        **os.environ,
        "RAY_ADDRESS": context.gcs_address,
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
    }
    if not environment.get("CUDA_VISIBLE_DEVICES"):  # empty in a replica that asked for no GPU
        environment.pop("CUDA_VISIBLE_DEVICES", None)
    if runtime := {
        k: v for k, v in context.runtime_env.items() if k in ("working_dir", "env_vars")
    }:
        environment["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps({"runtime_env": runtime})
    if application := _application():
        environment[APPLICATION] = application
    return Launch([sys.executable, "-m", "deployments.jobs"], environment, ROOT)


def _application() -> str | None:
    try:
        return serve.get_replica_context().app_name
    except RayServeException:
        return None


def main(job_id: str, token: str) -> None:
    """The whole life of a driver."""
    _step_back()
    found = settings()
    asked, kind, owner_id = asyncio.run(_row(found, job_id))
    with Hand(found, job_id, token, owner_id) as hand:
        try:
            _join()
            signal.signal(signal.SIGTERM, lambda *_: hand.stop.set())
            hand.finish(_result(kind, asked, hand))
        except Stopped:
            _stopped(kind, hand)
        except Failed as error:
            hand.fail(error.code, error.detail)
        except Exception as error:  # the run boundary: whatever happens is written down
            _broken(kind, hand, error)


def _step_back() -> None:
    """Ends with its parent, also where that is killed; and is in nobody's way."""
    os.nice(STEP_BACK)
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


async def _row(found: Settings, job_id: str) -> tuple[Json, Kind, str]:
    engine = database.unpooled(str(found.database_url))
    async with database.outages(), engine.connect() as connection:
        query = select(Job.asked, Job.kind, Job.owner_id).where(Job.id == job_id)
        asked, kind, owner_id = (await connection.execute(query)).one()
    return asked, cast(Kind, kind), owner_id


def _join() -> None:
    ray.init(os.environ["RAY_ADDRESS"], log_to_driver=False, configure_logging=False)


def _result(kind: Kind, asked: Json, hand: Hand) -> Json:
    run: Run = import_module(f"deployments.{kind}").run
    result = run(asked, hand)
    return cast(Json, asyncio.run(result) if inspect.iscoroutine(result) else result)


def _stopped(kind: Kind, hand: Hand) -> None:
    """Let go: for good where it was cancelled, else so that another driver may go on."""
    if kind in queue.REPEATABLE or hand.why:
        hand.release(counts=False)
    else:
        hand.fail("interrupted", "The platform ended while it ran. Start another.")


def _broken(kind: Kind, hand: Hand, error: Exception) -> None:
    hand.log(traceback.format_exc())
    traceback.print_exc()
    if kind in queue.REPEATABLE:
        hand.release(counts=True)
    else:
        hand.fail("job_failed", f"{type(error).__name__}: {error}"[:1000])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
