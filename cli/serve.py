"""`vocality serve`: the platform until Ctrl-C or SIGTERM."""

import signal
import threading
from contextlib import ExitStack

from rich.console import Console

from app.settings import Settings
from cli.platform import running

console = Console()


def run(*, host: str | None, port: int | None, profile: str) -> None:
    given = {"host": host, "port": port}
    settings = Settings.model_validate({k: v for k, v in given.items() if v is not None})
    ended = threading.Event()
    with ExitStack() as stack:
        with console.status("Starting PostgreSQL, Redis, MLflow, Ray Serve ..."):
            ready = stack.enter_context(running(settings, profile))
        # Only now: Ray puts its own handlers in place when it starts.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        say_where(ready)
        ended.wait()
        console.print("Stopping; accepted work is kept and goes on at the next start.")


def say_where(settings: Settings) -> None:
    door = f"http://{settings.host}:{settings.port}"
    console.print(f"Nexus Vocality serves at [bold]{door}[/bold]   (Ctrl-C ends it)")
    console.print(f"  API       {door}/docs", highlight=False)
    console.print(f"  health    {door}/readyz   {door}/metrics", highlight=False)
    console.print(f"  MLflow    {settings.mlflow_tracking_uri}", highlight=False)
    console.print(f"  files     {settings.home}", highlight=False)
    if settings.admin_key.exists():
        console.print(f"  key       {settings.admin_key}", highlight=False)
        shown = f'-H "Authorization: Bearer $(cat {settings.admin_key})"'
        tried = f"curl {shown} -F file=@take.wav {door}/v1/analyze"
        console.print(f"  try       {tried}", highlight=False, markup=False, soft_wrap=True)
