"""Finds, checks and fetches openai-whisper checkpoints."""

import hashlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import torch
import whisper
from whisper.model import ModelDimensions, Whisper

from models import registry
from models.deadline import started
from models.results import Version
from models.weights import WeightsUnavailable

CONNECT = 2.0  # seconds: offline is known by then
STALL = 30.0  # seconds without a byte
LICENCE = "MIT"  # of the checkpoints that openai-whisper names
MELS, VOCABULARIES = (80, 128), (51864, 51865, 51866)  # that its front end and tokenizers know

Progress = Callable[[int, int], None]  # bytes there, bytes in all


class FetchFailed(RuntimeError):
    """The checkpoint could not be brought; what came so far is kept and continued next time."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint comes from, and what it must be."""

    name: str
    url: str
    sha256: str

    @property
    def file(self) -> str:
        return urlsplit(self.url).path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    model: Whisper  # on the CPU
    version: Version


# whisper keeps the table behind an underscore, but its URLs and digests are the published ones
SOURCES = {name: Source(name, url, url.split("/")[-2]) for name, url in whisper._MODELS.items()}


def cache() -> Path:
    """Where whisper itself keeps its checkpoints, so that either finds what the other fetched."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "whisper"


def load(wanted: str, folder: Path | None = None) -> Checkpoint:
    """The checkpoint of a name, a path or a `models:/` URI, or WeightsUnavailable.

    A name is looked for in `folder` (whisper's cache if None) and never fetched: that would hold
    up the start. A registry that does not answer fails within two seconds.
    """
    path, version = _find(wanted, folder or cache())
    model = _open(path)
    if wanted in SOURCES:
        model.set_alignment_heads(whisper._ALIGNMENT_HEADS[wanted])
    return Checkpoint(model, version)


def load_exact(name: str, version: str, sha256: str) -> Checkpoint:
    """The registered version whose checkpoint has this digest, or WeightsUnavailable."""
    try:
        path = registry.fetch_exact(name, version, sha256)
    except registry.RegistryUnavailable as error:
        raise WeightsUnavailable(f"{error}.") from error
    return Checkpoint(
        _open(path), Version(name=name, version=version, sha256=sha256, licence=LICENCE)
    )


def _find(wanted: str, folder: Path) -> tuple[Path, Version]:
    if wanted.startswith("models:/"):
        return _registered(wanted)
    if source := SOURCES.get(wanted):
        return _cached(source, folder)
    path = Path(wanted).expanduser()
    if not wanted or not path.is_file():
        asked = f"{wanted!r} is neither a file nor a name" if wanted else "None is chosen"
        raise WeightsUnavailable(
            f"No whisper checkpoint: {asked}. Names: {', '.join(SOURCES)}. "
            "Fetch one with `vocality models fetch tiny`."
        )
    digest = _digest(path)
    return path, Version(name=path.stem, version=digest[:12], sha256=digest, licence=LICENCE)


def _cached(source: Source, folder: Path) -> tuple[Path, Version]:
    path = folder / source.file
    if not path.is_file():
        raise WeightsUnavailable(
            f"whisper's {source.name} is not in {folder}: "
            f"fetch it with `vocality models fetch {source.name}`."
        )
    digest = _digest(path)
    if digest != source.sha256:
        raise WeightsUnavailable(
            f"{path} has sha256 {digest[:12]}..., not {source.sha256[:12]}...: "
            f"fetch it again with `vocality models fetch {source.name}`."
        )
    name = f"whisper-{source.name}"
    return path, Version(name=name, version=digest[:12], sha256=digest, licence=LICENCE)


def _registered(uri: str) -> tuple[Path, Version]:
    try:
        name, number = registry.resolve(uri)
        found = registry.fetch(f"models:/{name}/{number}")
    except registry.RegistryUnavailable as error:
        raise WeightsUnavailable(
            f"{error}. Without the registry, fetch a checkpoint with `vocality models fetch tiny`."
        ) from error
    files = [found] if found.is_file() else sorted(found.rglob("*.pt"))
    if len(files) != 1:
        raise WeightsUnavailable(f"{uri} holds {len(files)} .pt files, not one checkpoint.")
    digest = _digest(files[0])
    stated = Version(name=name, version=number, sha256=digest, licence=LICENCE)
    return files[0], stated


def _open(path: Path) -> Whisper:
    """Tensors only: a checkpoint that would run code is refused."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        dims = ModelDimensions(**stored["dims"])
        if dims.n_mels not in MELS or dims.n_vocab not in VOCABULARIES or dims.n_audio_ctx != 1500:
            raise ValueError(f"not the shape of a whisper checkpoint: {dims}")
        model = Whisper(dims)
        model.load_state_dict(stored["model_state_dict"])
    except Exception as error:  # whatever damaged bytes make of torch's unpickler
        raise WeightsUnavailable(f"{path} is no openai-whisper checkpoint: {error}") from error
    if not all(parameter.isfinite().all() for parameter in model.parameters()):
        raise WeightsUnavailable(f"{path} holds weights that are not numbers.")
    return model


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsUnavailable(f"{path} cannot be read: {error.strerror}.") from error


def fetch(
    name: str, folder: Path | None = None, progress: Progress | None = None
) -> "Future[Path]":
    """Bring a named checkpoint to the cache in a child thread; `result()` is its path.

    Goes on where an earlier fetch ended. Offline it fails with FetchFailed within two seconds.
    """
    if name not in SOURCES:
        raise FetchFailed(f"{name!r} is no whisper checkpoint. Names: {', '.join(SOURCES)}.")
    return download(SOURCES[name], folder or cache(), progress)


def download(source: Source, folder: Path, progress: Progress | None = None) -> "Future[Path]":
    """Bring a source's file to a folder in a child thread; whole and checked, or not at all."""
    return started(lambda: _download(source, folder, progress or (lambda there, of: None)))


_one_at_a_time = threading.Lock()


def _download(source: Source, folder: Path, progress: Progress) -> Path:
    with _one_at_a_time:
        target, part = folder / source.file, folder / f"{source.file}.part"
        if target.is_file() and _digest(target) == source.sha256:
            return target
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _continue(source, part, progress)
        except (OSError, httpx2.HTTPError) as error:
            raise FetchFailed(f"{source.url} cannot be fetched: {error}") from error
        if (digest := _digest(part)) != source.sha256:
            part.unlink()
            raise FetchFailed(f"{source.url} came with sha256 {digest}, not {source.sha256}.")
        part.replace(target)
        return target


def _continue(source: Source, part: Path, progress: Progress) -> None:
    there = part.stat().st_size if part.exists() else 0
    with httpx2.Client(timeout=httpx2.Timeout(STALL, connect=CONNECT)) as client:
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={there}-"} if there else {})
        response = _answer(client, client.build_request("GET", source.url, headers=headers))
        if response.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE:
            return  # it is all there already
        response.raise_for_status()
        if response.status_code != httpx2.codes.PARTIAL_CONTENT:
            there = 0
        total = there + int(response.headers.get("Content-Length", 0))
        with part.open("ab" if there else "wb") as file:
            for piece in response.iter_bytes():
                file.write(piece)
                there += len(piece)
                progress(there, total)


def _answer(client: httpx2.Client, request: httpx2.Request) -> httpx2.Response:
    """The server's answer. Looking up its name counts as connecting: no timeout of httpx does."""
    reached = threading.Event()

    def trace(event: str, _: object) -> None:
        if event == "connection.connect_tcp.complete":
            reached.set()

    request.extensions["trace"] = trace
    answer = started(lambda: client.send(request, stream=True, follow_redirects=True))
    answer.add_done_callback(lambda _: reached.set())
    if not reached.wait(CONNECT):
        raise TimeoutError(f"no connection within {CONNECT:g} s")
    return answer.result()
