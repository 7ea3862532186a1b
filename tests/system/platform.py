"""The real platform as a process of its own, and how all of it dies at once."""

import os
import signal

import psutil

from app import embedded
from cli.served import VOCALITY, Platform, alone, serving

__all__ = ["VOCALITY", "Platform", "alone", "kill_everything", "serving"]


def kill_everything(platform: Platform) -> None:
    """kill -9 of the whole platform at once: Ray, Serve, PostgreSQL, Redis."""
    victims = psutil.Process(platform.process.pid).children(recursive=True)
    servers = [pid for pid in embedded.pids(platform.home).values() if pid]
    victims += [psutil.Process(pid) for pid in servers]
    victims += [child for pid in servers for child in psutil.Process(pid).children(recursive=True)]
    os.kill(platform.process.pid, signal.SIGKILL)
    for victim in victims:
        try:
            victim.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(victims, timeout=20)
    platform.process.wait()
