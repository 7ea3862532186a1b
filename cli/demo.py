"""`vocality demo`: the main job once, end to end, over HTTP."""

import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from app.settings import Settings
from cli.asking import client
from cli.platform import running
from cli.ports import free_port
from cli.show import show
from models.results import Analysis

TAKE = Path(__file__).parent / "demo.flac"
console = Console()


def run() -> None:
    started = time.perf_counter()
    settings = Settings(port=free_port())  # never in the way of a platform that runs already
    with ExitStack() as stack:
        with console.status("Starting PostgreSQL, Redis, MLflow, Ray Serve ..."):
            ready = stack.enter_context(running(settings))
        console.print(f"Platform ready after {time.perf_counter() - started:.1f} s")
        _analyze(ready)
        console.print("Stopping. `make serve` keeps it running.")


def _analyze(ready: Settings) -> None:
    door = f"http://{ready.host}:{ready.port}"
    asked = time.perf_counter()
    with TAKE.open("rb") as file, client(door) as asker:
        reply = asker.post("/v1/analyze", files={"file": file})
    reply.raise_for_status()
    seconds = time.perf_counter() - asked
    console.print(
        f"POST {door}/v1/analyze  {TAKE.name}  ->  {reply.status_code} in {seconds:.2f} s"
    )
    show(Analysis.model_validate_json(reply.text), "A sung arpeggio and two spoken phrases")
