"""Checkpoints are found, checked and fetched; being offline costs two seconds at most."""

import hashlib
import pickle
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch

from models import engines, registry
from models.engine import Task
from models.results import Reason
from models.weights import WeightsUnavailable
from models.whisper_checkpoints import FetchFailed, Source, download, fetch, load
from tests import checkpoints
from tests.signals import tone

CONTENT = bytes(range(256)) * 20_000


def test_a_path_states_which_weights_answer(tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path)

    version = load(str(path)).version

    assert version.name == path.stem
    assert version.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("wanted", ["", "1", "tiny", "/nowhere/tiny.pt"])
def test_what_is_not_there_says_how_to_fetch_it(wanted: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsUnavailable, match="vocality models fetch tiny"):
        load(wanted, tmp_path)


def test_without_weights_the_family_answers_model_unavailable(tmp_path: Path) -> None:
    engine = engines.load_or_unavailable("transcript", str(tmp_path / "none.pt"))

    (answer,) = engine.analyze_batch([Task(tone(200))])

    assert answer.absent is not None
    assert answer.absent.reason == Reason.model_unavailable


def test_a_named_checkpoint_with_another_digest_is_refused(tmp_path: Path) -> None:
    checkpoints.write(tmp_path).rename(tmp_path / "tiny.pt")

    with pytest.raises(WeightsUnavailable, match="sha256"):
        load("tiny", tmp_path)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('a checkpoint ran code')",))


def test_damaged_and_malicious_files_are_refused(tmp_path: Path) -> None:
    whole = checkpoints.write(tmp_path).read_bytes()
    model = checkpoints.network()
    model.encoder.ln_post.weight.data.fill_(torch.nan)
    stored = {"dims": vars(model.dims), "model_state_dict": model.state_dict()}
    for name, content in {
        "cut.pt": whole[: len(whole) // 2],
        "empty.pt": b"",
        "text.pt": b"no checkpoint",
        "code.pt": pickle.dumps(Code(), protocol=2),
    }.items():
        (tmp_path / name).write_bytes(content)
    torch.save(stored, tmp_path / "nan.pt")
    torch.save({**stored, "dims": {**vars(model.dims), "n_mels": 81}}, tmp_path / "mels.pt")

    for name in ("cut", "empty", "text", "code", "nan", "mels"):
        with pytest.raises(WeightsUnavailable, match=f"{name}.pt"):
            load(str(tmp_path / f"{name}.pt"))


class Library(BaseHTTPRequestHandler):
    """Serves CONTENT; breaks off in the middle where the path says so."""

    def do_GET(self) -> None:
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.server.asked.append(start)  # type: ignore[attr-defined]
        if start >= len(CONTENT):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        stop = len(CONTENT) // 2 if "broken" in self.path and not start else len(CONTENT)
        self.wfile.write(CONTENT[start:stop])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def library() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Library)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def source(port: int, name: str = "m.pt", content: bytes = CONTENT) -> Source:
    digest = hashlib.sha256(content).hexdigest()
    return Source("m", f"http://127.0.0.1:{port}/{name}", digest)


def test_a_checkpoint_is_fetched_with_progress(
    library: ThreadingHTTPServer, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []

    path = download(
        source(library.server_port), tmp_path / "new", lambda there, of: seen.append((there, of))
    ).result()

    assert path.read_bytes() == CONTENT
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [there for there, _ in seen] == sorted(there for there, _ in seen)
    assert [file.name for file in path.parent.iterdir()] == ["m.pt"]


def test_a_broken_fetch_goes_on_where_it_ended(
    library: ThreadingHTTPServer, tmp_path: Path
) -> None:
    wanted = source(library.server_port, "broken.pt")

    with pytest.raises(FetchFailed):
        download(wanted, tmp_path).result()
    assert not (tmp_path / "broken.pt").exists()
    path = download(wanted, tmp_path).result()

    assert path.read_bytes() == CONTENT
    assert library.asked[0] == 0 < library.asked[1]  # type: ignore[attr-defined]
    assert download(wanted, tmp_path).result() == path  # and is not fetched again
    assert len(library.asked) == 2  # type: ignore[attr-defined]


def test_a_whole_part_is_not_fetched_again(library: ThreadingHTTPServer, tmp_path: Path) -> None:
    (tmp_path / "m.pt.part").write_bytes(CONTENT)

    assert download(source(library.server_port), tmp_path).result().read_bytes() == CONTENT


def test_a_fetched_file_with_another_digest_is_thrown_away(
    library: ThreadingHTTPServer, tmp_path: Path
) -> None:
    with pytest.raises(FetchFailed, match="sha256"):
        download(source(library.server_port, content=b"other"), tmp_path).result()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["127.0.0.1:9", "192.0.2.1:80", "no-such-host.invalid"])
def test_offline_a_fetch_fails_within_two_seconds(address: str, tmp_path: Path) -> None:
    start = time.monotonic()

    with pytest.raises(FetchFailed, match="cannot be fetched"):
        download(Source("m", f"http://{address}/m.pt", "0" * 64), tmp_path).result()

    assert time.monotonic() - start < 2.5


def test_an_unknown_name_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="Names: tiny"):
        fetch("enormous", tmp_path)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "192.0.2.1:5000", "no-such-host.invalid"])
def test_a_registry_out_of_reach_fails_within_two_seconds(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://{address}")
    monkeypatch.setenv("XDG_CACHE_HOME", "/nowhere")
    start = time.monotonic()

    with pytest.raises(WeightsUnavailable, match="cannot be reached"):
        load("models:/whisper/1")

    assert time.monotonic() - start < 2.5


def test_a_registry_that_never_answers_fails_within_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow  # noqa: F401  # its import is not what is timed

    with socket.create_server(("127.0.0.1", 0)) as mute:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{mute.getsockname()[1]}")
        start = time.monotonic()
        with pytest.raises(registry.RegistryUnavailable, match="within 2 s"):
            registry.fetch("models:/whisper@champion")

    assert time.monotonic() - start < 3.0


@pytest.mark.parametrize("uri", ["models:/whisper", "models:/", "whisper/1", "models:/@x"])
def test_a_wrong_uri_is_refused(uri: str) -> None:
    with pytest.raises(registry.RegistryUnavailable, match="neither"):
        registry.fetch(uri)


def test_a_registered_checkpoint_is_loaded_by_version_and_alias(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow = pytest.importorskip("mlflow")
    (tmp_path / "files").mkdir()
    path = checkpoints.write(tmp_path / "files")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/registry.db")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    client = mlflow.MlflowClient()
    client.create_registered_model("whisper-choir")
    client.create_model_version("whisper-choir", source=str(path.parent))
    client.set_registered_model_alias("whisper-choir", "champion", "1")

    for uri in ("models:/whisper-choir@champion", "models:/whisper-choir/1"):
        version = load(uri).version
        assert (version.name, version.version) == ("whisper-choir", "1")
        assert version.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
