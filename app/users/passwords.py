"""Passwords: which are refused, and their hashes, made by few at a time."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from app.errors import Fault, ServiceUnavailable, Unprocessable
from app.users import guessable

SHORTEST = 8  # characters
LONGEST = 1024  # characters, each of them counts
AT_ONCE = 2  # hashes, 64 MiB each
LINE = 16  # who may wait for them
FEWEST_CHARACTERS = 4  # different ones

Answer = TypeVar("Answer")


class Passwords:
    """Argon2id in a pool of its own: memory and wait are bounded however many sign in."""

    def __init__(self, memory_kib: int) -> None:
        self._hasher = PasswordHash((Argon2Hasher(memory_cost=memory_kib, parallelism=1),))
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._inside = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """In the line, to be taken before anything else is asked for. Raises ServiceUnavailable."""
        if self._inside >= AT_ONCE + LINE:
            raise ServiceUnavailable("Too many people sign in now.", code="busy")
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1

    async def hash(self, password: str) -> str:
        with self.place():
            return await self._run(lambda: self._hasher.hash(password))

    async def check(self, password: str, hashed: str | None) -> bool:
        with self.place():
            return await self.check_in_place(password, hashed)

    async def check_in_place(self, password: str, hashed: str | None) -> bool:
        """Whether it is the one. Nobody's password takes as long to be wrong."""
        if hashed is None:
            await self._run(lambda: self._hasher.hash(password))
            return False
        return await self._run(lambda: self._hasher.verify(password, hashed))

    def outdated(self, hashed: str) -> bool:
        """Whether the settings ask for more than this hash cost."""
        return self._hasher.current_hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def accept(password: str, *, email: str = "", pointer: str = "/password") -> None:
    """Raises Unprocessable with the reason for which a password is refused, before any hashing."""
    if reason := _weakness(password, email):
        raise Unprocessable(
            "Choose another password.", code="weak_password", faults=(Fault(pointer, reason),)
        )


def _weakness(password: str, email: str) -> str | None:
    if not SHORTEST <= len(password) <= LONGEST:
        return f"It needs {SHORTEST} to {LONGEST} characters."
    if len(set(password.casefold())) < FEWEST_CHARACTERS:
        return "It repeats the same few characters."
    if email and password.casefold() in (email.casefold(), email.casefold().partition("@")[0]):
        return "It is your e-mail address."
    if guessable.known(password):
        return "It is among the first that anybody would try."
    return None
