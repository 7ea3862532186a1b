"""The object store: takes in, takes out, nothing whole in memory."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from app.errors import StorageDown
from app.settings import Settings

CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True, slots=True)
class Stored:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Storage:
    """Objects under keys like 'recordings/rec_0193.../master'. A put is whole or not at all."""

    store: ObjectStore

    async def put(self, key: str, chunks: AsyncIterator[bytes]) -> Stored:
        """Keep a stream; its digest is taken on the way."""
        digest, size = hashlib.sha256(), 0

        async def counted() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                yield chunk

        async with _failures():
            await obstore.put_async(self.store, key, counted())
        return Stored(digest.hexdigest(), size)

    async def stream(self, key: str) -> AsyncIterator[bytes]:
        """Raises FileNotFoundError."""
        async with _failures():
            found = await obstore.get_async(self.store, key)
            async for chunk in found.stream(min_chunk_size=CHUNK):
                yield bytes(chunk)

    async def download(self, key: str, path: Path) -> None:
        """Copy an object into a local file. Raises FileNotFoundError."""
        with path.open("wb") as file:
            async for chunk in self.stream(key):
                await asyncio.to_thread(file.write, chunk)

    async def exists(self, key: str) -> bool:
        try:
            async with _failures():
                await obstore.head_async(self.store, key)
        except FileNotFoundError:
            return False
        return True

    async def delete(self, key: str) -> None:
        """Safe to repeat."""
        try:
            async with _failures():
                await obstore.delete_async(self.store, key)
        except FileNotFoundError:
            return

    async def delete_all(self, folder: str) -> None:
        """Everything under it, such as `recordings/rec_0193...`. Safe to repeat."""
        async with _failures():
            async for found in obstore.list(self.store, folder):
                for item in found:
                    await self.delete(item["path"])


@asynccontextmanager
async def _failures() -> AsyncIterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as error:
        raise StorageDown("The object store cannot be reached.") from error


def open_store(settings: Settings) -> Storage:
    """A folder under `home`, or where the URL says: file://, s3://, gs://, az://."""
    if (url := settings.object_store_url) is None:
        return _folder(settings.home / "objects")
    if (parts := urlsplit(url)).scheme == "file":
        return _folder(Path(unquote(parts.path)))
    return Storage(from_url(url))


def _folder(path: Path) -> Storage:
    path.mkdir(parents=True, exist_ok=True)
    return Storage(LocalStore(path.resolve()))


async def chunks_of(file: BinaryIO) -> AsyncIterator[bytes]:
    """A file's bytes from its start, read in a thread."""
    await asyncio.to_thread(file.seek, 0)
    while chunk := await asyncio.to_thread(file.read, CHUNK):
        yield chunk
