"""The registry's server: asked within a time limit, or RegistryUnavailable."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from models.deadline import within

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER = 2.0  # seconds an unreachable tracking server may cost
LOOK = 10.0  # seconds a question may take that reads or writes many rows
TRANSFER = 1800.0  # seconds that files may take on their way there
# For mlflow's own client, which would go on trying for minutes.
CALM = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}

T = TypeVar("T")


class RegistryUnavailable(RuntimeError):
    """The tracking server cannot be reached, or does not know the model."""


def ask(subject: str, question: "Callable[[MlflowClient], T]", seconds: float = ANSWER) -> T:
    """The server's answer. Raises RegistryUnavailable: within two seconds if nobody is there."""
    remote = _reach()
    for name, value in CALM.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # takes its second before the clock runs

    try:
        client = MlflowClient()
        return within(seconds, lambda: question(client)) if remote else question(client)
    except Exception as error:  # mlflow raises what its stores, clients and plug-ins raise
        why = str(error) or type(error).__name__
        raise RegistryUnavailable(f"{subject}: {why}") from error


def _reach() -> bool:
    """Whether the registry is on the network; if so, it takes connections.

    Tried by hand first, because mlflow's own client would go on trying for minutes.
    """
    address = os.environ.get("MLFLOW_TRACKING_URI")
    if not address:  # mlflow would make itself a registry where it stands
        raise RegistryUnavailable("MLFLOW_TRACKING_URI names no model registry.")
    server = urlsplit(address)
    if server.scheme not in ("http", "https"):
        return False  # a file or a database: answers or fails at once
    port = server.port or (443 if server.scheme == "https" else 80)
    host = (server.hostname or "", port)
    try:
        within(ANSWER, lambda: socket.create_connection(host, ANSWER).close())
    except OSError as error:
        raise RegistryUnavailable(
            f"The model registry at {host[0]}:{port} cannot be reached: {error}"
        ) from error
    return True
