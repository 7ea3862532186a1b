"""One platform for all that only asks it things; those that break it start their own."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests import checkpoints
from tests.conftest import servers_home
from tests.system.platform import Platform, serving


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoints.write(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="session")
def platform(checkpoint: Path) -> Iterator[Platform]:
    folder = servers_home()
    with serving(folder / "var", {"VOCALITY_TRANSCRIPT_MODEL": str(checkpoint)}) as running:
        yield running
    shutil.rmtree(folder)


@pytest.fixture
def client(platform: Platform) -> Iterator[httpx2.Client]:
    with platform.client() as session:
        yield session
