"""Models by name, version and alias in the MLflow registry."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from models import registry_server
from models.registry_entries import PERCENT, Aliases, Entry, Facts, entry_of
from models.registry_publishing import register, require_family
from models.registry_server import LOOK, RegistryUnavailable
from models.shipped import file_digest

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

__all__ = [
    "Aliases",
    "Entry",
    "Facts",
    "RegistryUnavailable",
    "aliases",
    "fetch",
    "fetch_exact",
    "keep",
    "read",
    "read_aliases",
    "register",
    "resolve",
    "versions",
    "write_aliases",
]

NAMED = ("champion", "challenger", "shadow", "previous")
# An alias can only name a number. What serves without one, like the whisper checkpoint that an
# operator configured, is named by a tag of the family instead.
UNNUMBERED = "rollout.{}"


def resolve(uri: str) -> tuple[str, str]:
    """Name and version of `models:/name/version` or `models:/name@alias`.

    Only an alias needs the tracking server; RegistryUnavailable within two seconds if it does not
    answer.
    """
    name, version, alias = _parse(uri)
    if alias:
        found = registry_server.ask(uri, lambda c: c.get_model_version_by_alias(name, alias))
        version = str(found.version)
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
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as arriving:
        _download(name, version, Path(arriving))
        with contextlib.suppress(FileExistsError, OSError):  # another process was first
            Path(arriving).rename(kept)
            Path(arriving).mkdir()
    return kept


def fetch_exact(name: str, version: str, sha256: str) -> Path:
    """The file of a registered version that has this digest: from the cache, else brought there.

    What is in the cache is whole, whoever was killed on the way. Raises RegistryUnavailable.
    """
    kept = _place(sha256)
    if kept.is_file() and file_digest(kept) == sha256:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=kept.parent) as arriving:
        _download(name, version, Path(arriving))
        for path in Path(arriving).rglob("*"):
            if path.is_file() and file_digest(path) == sha256:
                return path.replace(kept)
    raise RegistryUnavailable(f"models:/{name}/{version} holds no file of sha256 {sha256[:12]}...")


def keep(path: Path) -> str:
    """A copy of the file among those that were fetched; its digest, by which it is found."""
    sha256 = file_digest(path)
    kept = _place(sha256)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, kept.with_suffix(".fresh"))
    kept.with_suffix(".fresh").replace(kept)
    return sha256


def _place(sha256: str) -> Path:
    return cache() / "by-digest" / sha256


def cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vocality" / "models"


def versions() -> list[Entry]:
    """Every version that we registered, of all families. Raises RegistryUnavailable."""
    found = registry_server.ask("The registry", lambda c: list(c.search_model_versions()), LOOK)
    return [entry for entry in map(entry_of, found) if entry is not None]


def read(family: str, version: str) -> Entry:
    """Raises RegistryUnavailable, also where there is no such version of ours."""
    subject = f"models:/{family}/{version}"
    entry = entry_of(registry_server.ask(subject, lambda c: c.get_model_version(family, version)))
    if entry is None:
        raise RegistryUnavailable(f"{subject} was registered by another program.")
    return entry


def aliases() -> dict[str, Aliases]:
    """Of every registered family. Raises RegistryUnavailable."""

    def look(client: "MlflowClient") -> dict[str, Aliases]:
        return {model.name: _aliases(client, model) for model in client.search_registered_models()}

    return registry_server.ask("The registry", look, LOOK)


def read_aliases(family: str) -> Aliases | None:
    """None for a family that is not registered. Raises RegistryUnavailable."""

    def look(client: "MlflowClient") -> Aliases | None:
        from mlflow.exceptions import MlflowException

        try:
            return _aliases(client, client.get_registered_model(family))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    return registry_server.ask(f"models:/{family}", look, LOOK)


def write_aliases(family: str, wanted: Aliases) -> None:
    """Make the family's aliases and the challenger's share these. Safe to repeat.

    Raises RegistryUnavailable, also where a version is not registered.
    """

    def write(client: "MlflowClient") -> None:
        require_family(client, family)
        now = _aliases(client, client.get_registered_model(family))
        _write_share(client, family, now, wanted)
        for alias in NAMED:
            before, after = getattr(now, alias), getattr(wanted, alias)
            if before != after:
                _point(client, family, alias, before, after)

    registry_server.ask(f"models:/{family}", write, LOOK)


def _write_share(client: "MlflowClient", family: str, now: Aliases, wanted: Aliases) -> None:
    if now.challenger and now.challenger != wanted.challenger:
        client.delete_model_version_tag(family, now.challenger, PERCENT)
    if wanted.challenger:
        share = f"{wanted.percent:g}"
        client.set_model_version_tag(family, wanted.challenger, PERCENT, share)


def _point(
    client: "MlflowClient", family: str, alias: str, before: str | None, after: str | None
) -> None:
    if before and not before.isdecimal():
        client.delete_registered_model_tag(family, UNNUMBERED.format(alias))
    elif before and not (after and after.isdecimal()):
        client.delete_registered_model_alias(family, alias)
    if after and after.isdecimal():
        client.set_registered_model_alias(family, alias, after)
    elif after:
        client.set_registered_model_tag(family, UNNUMBERED.format(alias), after)


def _aliases(client: "MlflowClient", model: "RegisteredModel") -> Aliases:
    tags = {name: model.tags.get(UNNUMBERED.format(name)) for name in NAMED}
    named = {name: str(model.aliases.get(name) or tags[name] or "") or None for name in NAMED}
    share = 0.0
    if challenger := named["challenger"]:
        share = _percent(client.get_model_version(model.name, challenger).tags.get(PERCENT))
    return Aliases.model_validate({**named, "percent": share})


def _percent(tag: str | None) -> float:
    """0 for what is no number: nobody's traffic moves by a typing error."""
    try:
        return float(tag or 0)
    except ValueError:
        return 0.0


def _download(name: str, version: str, folder: Path) -> None:
    uri = f"models:/{name}/{version}"
    source = registry_server.ask(uri, lambda c: c.get_model_version_download_uri(name, version))
    from mlflow.artifacts import download_artifacts

    try:
        download_artifacts(artifact_uri=source, dst_path=str(folder))
    except Exception as error:
        raise RegistryUnavailable(f"{uri} cannot be fetched: {error}") from error


def _folder_name(name: str, version: str) -> str:
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    return hashlib.sha256(f"{server} {name} {version}".encode()).hexdigest()[:24]


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
