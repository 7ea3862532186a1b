"""Which key a platform is shown: the one that was given, or this home's, which stays at home."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from app.settings import settings
from cli import asking
from cli.main import app


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("VOCALITY_HOME", str(tmp_path))
    monkeypatch.delenv(asking.KEY, raising=False)
    settings.cache_clear()
    settings().admin_key.write_text("voc_of_this_home\n")
    yield
    settings.cache_clear()


@pytest.mark.parametrize(
    "server", [None, "http://localhost:9", "http://127.0.0.1:1/", "http://[::1]:8000"]
)
def test_this_machine_is_shown_the_key_of_this_home(server: str | None) -> None:
    assert asking.client(server).headers["Authorization"] == "Bearer voc_of_this_home"


@pytest.mark.parametrize("server", ["https://voice.example.org", "http://10.0.0.1:8000"])
def test_another_machine_is_shown_only_a_key_that_was_given(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = asking.client(server)
    monkeypatch.setenv(asking.KEY, "voc_given")
    after = asking.client(server)

    assert "Authorization" not in before.headers
    assert after.headers["Authorization"] == "Bearer voc_given"


def test_a_key_on_the_command_line_is_the_one_that_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(asking.KEY, "voc_of_the_environment")

    CliRunner().invoke(app, ["--key", "voc_typed", "jobs", "list", "--server", "http://[::1]:1"])

    assert asking.client(None).headers["Authorization"] == "Bearer voc_typed"
