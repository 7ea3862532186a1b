"""The whole platform in the foreground: servers that were not given, then Ray Serve."""

import asyncio
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import typer

from app.sealing import secret_of
from app.settings import Settings
from cli import asking


@contextmanager
def running(settings: Settings, profile: str = "laptop") -> Iterator[Settings]:
    """The platform with every address filled in; it ends with the block."""
    from app import embedded, migrations
    from app.users import first_start
    from cli import tracking

    _check(settings)
    settings = settings.model_copy(update={"home": settings.home.resolve()})
    owns_tracking = settings.mlflow_tracking_uri is None
    if owns_tracking and settings.database_url:
        beside = tracking.database_beside(settings.database_url)
        settings = settings.model_copy(update={"mlflow_tracking_uri": beside})
    with ExitStack() as stack:
        settings = stack.enter_context(embedded.running(settings))
        if owns_tracking:
            uri = stack.enter_context(
                tracking.server(str(settings.mlflow_tracking_uri), settings.home)
            )
            settings = settings.model_copy(update={"mlflow_tracking_uri": uri})
        environment = _environment(settings)
        os.environ.update(environment)
        asyncio.run(migrations.upgrade(str(settings.database_url)))
        asyncio.run(first_start.prepare(settings))
        # Only now: Ray reads its authentication from the environment when it is imported.
        from deployments import start

        start.connect(settings, environment)
        stack.callback(start.stop, profile, settings)
        start.serve_profile(profile, settings)
        yield settings


def _check(settings: Settings) -> None:
    """Replicas on other machines cannot reach servers and folders of this one."""
    named = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "OBJECT_STORE_URL": settings.object_store_url,
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
    }
    missing = [name for name, value in named.items() if not value]
    if settings.ray_address and missing:
        raise typer.BadParameter(
            f"With RAY_ADDRESS, name the other servers too: {', '.join(missing)}."
        )


def _environment(settings: Settings) -> dict[str, str]:
    """What every replica reads its settings from: whatever is set here holds there."""
    named = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "OBJECT_STORE_URL": settings.object_store_url or (settings.home / "objects").as_uri(),
        "MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
        "VOCALITY_HOME": str(settings.home),
        "VOCALITY_HOST": settings.host,
        "VOCALITY_PORT": str(settings.port),
    }
    ours = {name: value for name, value in os.environ.items() if name.startswith("VOCALITY_")}
    ours.pop(asking.KEY, None)  # of whoever starts it, and nobody else's
    found = ours | {name: value for name, value in named.items() if value}
    if settings.ray_address is None:
        return found | _ray_token(settings.home)
    return found | {"VOCALITY_SECRET_KEY": secret_of(settings)}  # elsewhere home is another folder


def _ray_token(home: Path) -> dict[str, str]:
    """Whoever reaches a Ray cluster runs code on it, so ours asks for a token of its own."""
    path = home / "ray-token"
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(path)}
