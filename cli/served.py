"""The platform as a process of its own, as `vocality serve` starts it."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil

from app.settings import Settings
from cli import asking
from cli.ports import free_port

VOCALITY = str(Path(sys.executable).with_name("vocality"))
START_S = 180
STOP_S = 60
PATIENCE_S = 120  # with one request
UNCOUNTED = {"VOCALITY_RATE_LIMITS": "0"}  # one user asks for all: benchmarks, drills, tests
ADDRESSES = ("DATABASE_URL", "REDIS_URL", "OBJECT_STORE_URL", "MLFLOW_TRACKING_URI", "RAY_ADDRESS")


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """Our environment without anybody's servers, and these on top."""
    return {k: v for k, v in os.environ.items() if k not in ADDRESSES} | dict(environment)


@dataclass(frozen=True, slots=True)
class Platform:
    process: subprocess.Popen[bytes]
    home: Path
    door: str

    def client(self) -> httpx2.Client:
        """Asks as the administrator whom the first start has made."""
        return httpx2.Client(base_url=self.door, timeout=PATIENCE_S, headers=self._headers)

    def async_client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.door, timeout=PATIENCE_S, headers=self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        return asking.bearer(Settings(home=self.home).admin_key.read_text().strip())

    def descendants(self, mark: str) -> list[psutil.Process]:
        """Processes of the platform whose command line holds the mark."""
        every = psutil.Process(self.process.pid).children(recursive=True)
        return [process for process in every if mark in _command_line(process)]


def _command_line(process: psutil.Process) -> str:
    """Empty for one that has ended, or that nobody has reaped yet."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def serving(home: Path, environment: Mapping[str, str] | None = None) -> Iterator[Platform]:
    """Started and ready; ended in good order with the block, if it still lives."""
    port = free_port()
    with (home.parent / f"{home.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [VOCALITY, "serve", "--port", str(port)],
            env=alone({"VOCALITY_HOME": str(home), **UNCOUNTED, **(environment or {})}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    platform = Platform(process, home, f"http://127.0.0.1:{port}")
    try:
        _await_ready(platform)
        yield platform
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(STOP_S)


def _await_ready(platform: Platform) -> None:
    deadline = time.monotonic() + START_S
    log = platform.home.parent / f"{platform.home.name}.log"
    while time.monotonic() < deadline:
        if platform.process.poll() is not None:
            raise RuntimeError(f"The platform ended:\n{log.read_text()[-3000:]}")
        try:
            if httpx2.get(f"{platform.door}/readyz", timeout=5).status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.2)
    raise TimeoutError(f"Not ready after {START_S} s:\n{log.read_text()[-3000:]}")
