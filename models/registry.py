"""Models by name, version and alias in the MLflow registry."""

import contextlib
import hashlib
import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from models.deadline import within

if TYPE_CHECKING:
    from mlflow import MlflowClient

ANSWER = 2.0  # seconds an unreachable tracking server may cost


class RegistryUnavailable(RuntimeError):
    """The tracking server cannot be reached, or does not know the model."""


def resolve(uri: str) -> tuple[str, str]:
    """Name and version of `models:/name/version` or `models:/name@alias`.

    Only an alias needs the tracking server; RegistryUnavailable within two seconds if it does not
    answer.
    """
    name, version, alias = _parse(uri)
    if alias:
        version = _ask(uri, lambda client: client.get_model_version_by_alias(name, alias).version)
    return name, version


def fetch(uri: str, folder: Path | None = None) -> Path:
    """Bring the files of a registered version to a local folder, once: versions never change.

    Fails within two seconds when the tracking server does not answer; a server that does may
    take its time over the files. Raises RegistryUnavailable.
    """
    name, version = resolve(uri)
    kept = (folder or cache()) / _folder_name(name, version)
    if kept.exists():
        return kept
    source = _ask(uri, lambda client: client.get_model_version_download_uri(name, version))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as arriving:
        _download(uri, source, Path(arriving))
        with contextlib.suppress(FileExistsError, OSError):  # another process was first
            Path(arriving).rename(kept)
            Path(arriving).mkdir()
    return kept


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vocality" / "models"


def _folder_name(name: str, version: str) -> str:
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    return hashlib.sha256(f"{server} {name} {version}".encode()).hexdigest()[:24]


def _ask(uri: str, question: "Callable[[MlflowClient], str]") -> str:
    remote = _reach()
    from mlflow import MlflowClient  # takes its second before the clock runs

    try:
        client = MlflowClient()
        return str(within(ANSWER, lambda: question(client)) if remote else question(client))
    except Exception as error:  # mlflow raises what its stores, clients and plug-ins raise
        raise RegistryUnavailable(f"{uri} cannot be found: {error}") from error


def _reach() -> bool:
    """Whether the registry is on the network; if so, it takes connections.

    Tried by hand first, because mlflow's own client would go on trying for minutes.
    """
    server = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if server.scheme not in ("http", "https"):
        return False  # a file or a database: answers or fails at once
    port = server.port or (443 if server.scheme == "https" else 80)
    address = (server.hostname or "", port)
    try:
        within(ANSWER, lambda: socket.create_connection(address, ANSWER).close())
    except OSError as error:
        raise RegistryUnavailable(
            f"The model registry at {address[0]}:{port} cannot be reached: {error}"
        ) from error
    return True


def _download(uri: str, source: str, folder: Path) -> None:
    from mlflow.artifacts import download_artifacts

    try:
        download_artifacts(artifact_uri=source, dst_path=str(folder))
    except Exception as error:
        raise RegistryUnavailable(f"{uri} cannot be fetched: {error}") from error


def _parse(uri: str) -> tuple[str, str, str]:
    """Name, version and alias; the one that the URI does not use is empty."""
    path = uri.removeprefix("models:/").strip("/")
    name, at, alias = path.rpartition("@")
    version = ""
    if not at:
        name, _, version = path.rpartition("/")
        alias = ""
    if not uri.startswith("models:/") or not name or not (version or alias):
        raise RegistryUnavailable(f"{uri!r} is neither models:/name/version nor models:/name@alias")
    return name, version, alias
