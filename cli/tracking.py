"""The MLflow tracking server on our own PostgreSQL, for whoever names no other."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.errors import DuplicateDatabase
from sqlalchemy import make_url

from app.settings import Settings
from cli.ports import free_port

LEAN = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # we have our own jobs; its runner costs 200 MB
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
STOP_S = 10
ADDRESS = "address"  # the file that says where our own server answers
PR_SET_PDEATHSIG = 1  # of Linux's prctl


def database_beside(database_url: str) -> str:
    """The `mlflow` database on the PostgreSQL that was given; made if it is not there."""
    with psycopg.connect(database_url, autocommit=True) as connection, suppress(DuplicateDatabase):
        connection.execute("CREATE DATABASE mlflow")
    url = make_url(database_url).set(database="mlflow")
    return url.render_as_string(hide_password=False)


@contextmanager
def server(database_url: str, home: Path) -> Iterator[str]:
    """Its address. It comes up by itself in the background: nobody who analyses waits for it."""
    folder = home / "mlflow"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            _command(database_url, folder, port),
            env=os.environ | LEAN,
            stdout=log,
            stderr=log,
            start_new_session=True,  # it has children: all end together
            preexec_fn=_step_back,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        (folder / ADDRESS).write_text(address)
        yield address
    finally:
        (folder / ADDRESS).unlink(missing_ok=True)
        _end(process)


def find(settings: Settings) -> None:
    """The registry of the settings, or else of the platform that runs here, for this process."""
    said = settings.home / "mlflow" / ADDRESS
    if settings.mlflow_tracking_uri is None and said.exists():
        os.environ["MLFLOW_TRACKING_URI"] = said.read_text()


def _step_back() -> None:
    """Ends with its parent, also where that is killed; and is in nobody's way."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.nice(10)  # it comes up beside what people wait for


def _command(database_url: str, folder: Path, port: int) -> list[str]:
    options = {
        "backend-store-uri": database_url,
        "artifacts-destination": (folder / "artifacts").resolve().as_uri(),
        "host": "127.0.0.1",
        "port": str(port),
        "workers": "1",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "mlflow", "server", *flags]


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
