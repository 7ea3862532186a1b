"""What the platform hands to its replicas, and what it refuses to start with."""

from pathlib import Path

import psycopg
import pytest
import typer

from app.settings import Settings
from cli import platform, tracking


def test_with_a_cluster_elsewhere_every_server_must_be_named() -> None:
    settings = Settings(ray_address="10.0.0.1:6379", database_url="postgresql://db/vocality")

    with pytest.raises(typer.BadParameter, match=r"REDIS_URL, OBJECT_STORE_URL"):
        platform._check(settings)


def test_replicas_get_every_setting_that_was_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOCALITY_MAX_SECONDS", "60")
    monkeypatch.setenv("UNRELATED_SECRET", "x")
    monkeypatch.setenv("VOCALITY_API_KEY", "voc_of_who_starts_it")

    found = platform._environment(Settings(home=tmp_path, redis_url="redis://r", port=8123))

    assert found["VOCALITY_MAX_SECONDS"] == "60"
    assert found["REDIS_URL"] == "redis://r"
    assert found["OBJECT_STORE_URL"] == (tmp_path / "objects").as_uri()
    assert found["VOCALITY_PORT"] == "8123"
    assert not {"UNRELATED_SECRET", "VOCALITY_API_KEY"} & found.keys()
    token = Path(found["RAY_AUTH_TOKEN_PATH"])
    assert token.stat().st_mode & 0o777 == 0o600
    assert len(token.read_text()) == 64


def test_replicas_elsewhere_open_what_these_have_sealed(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, ray_address="10.0.0.1:6379")

    found = platform._environment(settings)

    assert found["VOCALITY_SECRET_KEY"] == (tmp_path / "secret").read_text().strip()


def test_mlflow_gets_a_database_on_the_postgresql_that_was_given(servers: Settings) -> None:
    beside = tracking.database_beside(str(servers.database_url))
    again = tracking.database_beside(str(servers.database_url))

    assert beside == again
    with psycopg.connect(beside) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("mlflow",)
