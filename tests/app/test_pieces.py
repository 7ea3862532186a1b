"""The small pieces: ids, strict JSON, the object store."""

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import ids
from app.settings import Settings
from app.storage import Storage, open_store
from app.strict_json import loads


def test_ids_sort_by_birth_and_are_uuid_version_7() -> None:
    made = [ids.new("rec") for _ in range(2000)]

    assert len(set(made)) == len(made)
    assert [name[:20] for name in made] == sorted(name[:20] for name in made)
    assert {ids.uuid7().version for _ in range(100)} == {7}
    assert all(ids.valid("rec", name) for name in made)
    assert not ids.valid("ana", made[0])
    assert not ids.valid("rec", made[0].upper())
    assert not ids.valid("rec", made[0] + "\n")


words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda children: st.lists(children) | st.dictionaries(st.text("abc"), children),
    max_leaves=20,
)


@given(plain)
def test_ordinary_json_is_read_as_ever(value: object) -> None:
    assert loads(json.dumps(value)) == value


@given(st.binary() | st.text())
def test_anything_else_is_an_error_of_one_kind(encoded: bytes | str) -> None:
    try:
        loads(encoded)
    except json.JSONDecodeError:
        return


@pytest.fixture
def store(tmp_path: Path) -> Storage:
    return open_store(Settings(object_store_url=(tmp_path / "a b").as_uri(), home=tmp_path))


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_object_comes_back_as_it_went(store: Storage, tmp_path: Path) -> None:
    large = bytes(range(256)) * 50_000  # 12.8 MB: several parts

    stored = await store.put("takes/a", pieces(large, b"", b"end"))
    await store.download("takes/a", tmp_path / "copy")

    assert (tmp_path / "copy").read_bytes() == large + b"end"
    assert stored.size_bytes == len(large) + 3
    assert stored.sha256 == hashlib.sha256(large + b"end").hexdigest()


async def test_a_stream_that_breaks_leaves_nothing(store: Storage) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        yield bytes(6 << 20)
        raise RuntimeError("the line went dead")

    with pytest.raises(Exception, match="dead"):
        await store.put("takes/b", breaking())

    assert not await store.exists("takes/b")


async def test_a_missing_object_is_missing(store: Storage, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await store.download("takes/none", tmp_path / "copy")
    assert not await store.exists("takes/none")
    await store.delete("takes/none")


async def test_a_deleted_object_is_gone(store: Storage) -> None:
    await store.put("takes/c", pieces(b"sound"))

    await store.delete("takes/c")

    assert not await store.exists("takes/c")
