"""`vocality models`: what ships, with the registry's versions beside it where that answers."""

from pathlib import Path

import pytest
import typer

from cli import models
from models import registry
from models.registry import Aliases
from models.results import schema_digest
from tests.models.test_registry import digest, made, register


def test_without_a_registry_what_ships_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    models.list_versions()

    shown = capsys.readouterr().out
    assert shown.count(" ok") == 4
    assert "names no model registry" in shown


def test_the_registrys_versions_are_listed_with_gate_and_alias_and_shown_with_their_card(
    registry_server: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    family = f"toy-{tmp_path.name[-8:]}"
    good = made(tmp_path / "one", 1.0)
    register(family, good, schema_digest=schema_digest("pitch"), card="# A toy\n\nFor a test.")
    register(family, made(tmp_path / "two", 2.0), gate="failed", gate_reason="worse [in noise]")
    registry.write_aliases(family, Aliases(champion="1", challenger="2", percent=10))

    models.list_versions()
    listed = " ".join(capsys.readouterr().out.split())
    models.show(family, "champion")
    shown = capsys.readouterr().out

    assert f"{family} 1 champion passed {digest(good)[:16]} MIT" in listed
    assert f"{family} 2 challenger 10 % failed: worse [in noise]" in listed
    assert "A toy" in shown
    assert digest(good) in shown
    assert "rpa 0.97" in shown
    with pytest.raises(typer.Exit):
        models.show(family, "9")
