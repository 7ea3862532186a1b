"""Encoded bytes to Audio, by a child process that holds nothing worth stealing or breaking."""

import array
import asyncio
import atexit
import functools
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from models.audio import ANALYSIS_RATE, Audio, Source, UnreadableAudio

_ROOT = Path(__file__).resolve().parents[1]
_START_S = 60.0  # a cold file system may take long over the imports
_LARGEST_MESSAGE = 1 << 18
_SAMPLES, _DONE, _REFUSED = b"S", b"D", b"R"  # as models.decoder tags its messages
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What a take may cost.

    `max_ratio` is decoded bytes (counted as 16 bit) over encoded ones, judged once 60 s are
    decoded. A voice in Opus at 6 kbit/s mono is at 128, in stereo at 256; an hour of digital
    silence in FLAC is at 1,400. `wall_s` counts from the moment a child has the take.
    """

    max_seconds: float = 1_800.0
    max_ratio: float = 400.0
    wall_s: float = 60.0
    cpu_s: float = 45.0
    memory_bytes: int = 256 << 20


_DEFAULTS = DecodeLimits()


@dataclass(frozen=True, slots=True)
class Facts:
    """What decoding found, without the samples."""

    seconds: float
    source: Source
    peak_memory_bytes: int  # of the process that decoded


class Zygote:
    """A warm process that forks one child per take. Start it once, use it from any thread.

    A dead one is started again by the next take; its own end follows from ours.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False

    def decode(self, source: bytes | Path, limits: DecodeLimits = _DEFAULTS) -> Audio:
        return Take(self, source, limits).audio()

    def inspect(self, source: bytes | Path, limits: DecodeLimits = _DEFAULTS) -> Facts:
        return Take(self, source, limits).facts()

    def hand_over(self, request: bytes, descriptors: list[int]) -> None:
        """Sends a request; once more, to a new process, if the last one has died."""
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        with self._lock:
            try:
                self._running().sendmsg([request], rights)
            except (BrokenPipeError, ConnectionResetError):
                self._stop()
                self._running().sendmsg([request], rights)

    def start(self) -> None:
        """Returns once it is warm: a fifth of a second. The first take does it otherwise."""
        with self._lock:
            self._running()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def close(self) -> None:
        """For good: takes still in work end with an error."""
        with self._lock:
            self._closed = True
            self._stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> socket.socket:
        if self._control is not None and self._process and self._process.poll() is None:
            return self._control
        if self._closed:
            raise RuntimeError("This decoder is closed.")
        self._stop()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "models.decoder"],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                cwd=_ROOT,
                env=_bare_environment(),
                start_new_session=True,  # Ctrl-C is for us to answer
            )
        self._control.settimeout(_START_S)
        if not self._control.recv(16):  # its word that it is warm
            raise RuntimeError("The decoding process does not start; its own words are on stderr.")
        self._control.settimeout(None)
        return self._control

    def _stop(self) -> None:
        if self._control is not None:
            self._control.close()  # it ends its children, and itself, when it sees this
        if self._process is not None:
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._control = self._process = None


def _bare_environment() -> dict[str, str]:
    """No secret of ours is in the child; one thread, so that it may fork."""
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


class Take:
    """One take in the decoder. May be cancelled from another thread while it is awaited."""

    def __init__(self, zygote: Zygote, source: bytes | Path, limits: DecodeLimits) -> None:
        self._zygote = zygote
        self._source = source
        self._limits = limits
        self._ours: socket.socket | None = None
        self._cancelled = False

    def audio(self) -> Audio:
        held = bytearray()
        facts = self._answer(held)
        return Audio(np.frombuffer(held, np.float32), ANALYSIS_RATE, facts.source)

    def facts(self) -> Facts:
        return self._answer(None)

    def cancel(self) -> None:
        """Ends the child; whoever waits for this take gets CancelledError."""
        self._cancelled = True
        if self._ours is not None:
            with suppress(OSError):
                self._ours.shutdown(socket.SHUT_RDWR)

    def _answer(self, held: bytearray | None) -> Facts:
        for _ in range(2):
            self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with self._ours:
                with theirs:
                    self._ask(theirs, wanted=held is not None)
                deadline = time.monotonic() + self._limits.wall_s
                facts = self._listen(self._ours, deadline, held)
            if facts is not None:
                return facts
            if held is not None:
                held.clear()  # the warm process died under this take: once more, from the start
        raise UnreadableAudio("damaged_audio", "The decoder died twice on this file.")

    def _ask(self, theirs: socket.socket, wanted: bool) -> None:
        request = json.dumps(asdict(self._limits) | {"samples": wanted}).encode()
        encoded = _descriptor(self._source)
        try:
            self._zygote.hand_over(request, [encoded, theirs.fileno()])
        finally:
            os.close(encoded)

    def _listen(self, ours: socket.socket, deadline: float, held: bytearray | None) -> Facts | None:
        """Until the last word. None if there was none, since the warm process itself has died."""
        while True:
            if self._cancelled:
                raise CancelledError
            message = self._next(ours, deadline)
            if not message:
                if self._cancelled:
                    raise CancelledError
                return None
            tag, data = message[:1], memoryview(message)[1:]
            if tag == _SAMPLES and held is not None:
                held += data
            elif tag == _DONE:
                return _facts(json.loads(bytes(data)))
            elif tag == _REFUSED:
                refusal = json.loads(bytes(data))
                raise UnreadableAudio(refusal["code"], refusal["detail"])
            else:
                raise _died(int(bytes(data)))

    def _next(self, ours: socket.socket, deadline: float) -> bytes:
        try:
            ours.settimeout(max(deadline - time.monotonic(), 0.001))
            return ours.recv(_LARGEST_MESSAGE)
        except TimeoutError:
            raise _out_of_time() from None
        except ConnectionResetError:
            return b""


def decode(source: bytes | Path, limits: DecodeLimits = _DEFAULTS) -> Audio:
    """A take as mono float32 at 16 kHz: the mean of its channels, resampled without aliasing.

    WAV, FLAC, MP3, M4A/AAC, OGG (Opus, Vorbis), WebM and AIFF, known by content and never by
    name; the first audio stream counts. What can be decoded of a damaged take is kept and said in
    `source.warnings`. Samples that are NaN or infinite become 0, also with a warning.

    Raises UnreadableAudio with one of these codes: 'unsupported_media', 'no_audio_stream',
    'invalid_parameters', 'damaged_audio', 'empty_audio', 'too_long', 'decode_ratio',
    'decode_timeout', 'decode_memory'.
    """
    return _shared().decode(source, limits)


@functools.cache
def _shared() -> Zygote:
    zygote = Zygote()
    atexit.register(zygote.close)
    return zygote


class Decoder:
    """`decode` for servers: never in the loop's way, and never more than `concurrency` at once.

    A cancelled await ends its child. Raises as `decode`.
    """

    def __init__(self, limits: DecodeLimits = _DEFAULTS, concurrency: int = 2) -> None:
        self._limits = limits
        self._zygote = Zygote()
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="decode")

    async def decode(self, source: bytes | Path) -> Audio:
        take = Take(self._zygote, source, self._limits)
        return await self._await(take, take.audio)

    async def inspect(self, source: bytes | Path) -> Facts:
        """Decodes the whole take, keeps none of it: only then are its length and state known."""
        take = Take(self._zygote, source, self._limits)
        return await self._await(take, take.facts)

    async def start(self) -> None:
        """Warms up, so that the first take need not."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self._zygote.start)

    @property
    def pid(self) -> int | None:
        """Of the warm process; None before the first take."""
        return self._zygote.pid

    def close(self) -> None:
        """Ends the children, those at work too."""
        self._zygote.close()
        self._threads.shutdown(cancel_futures=True)

    async def _await(self, take: Take, work: Callable[[], _Answer]) -> _Answer:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except asyncio.CancelledError:
            take.cancel()
            raise


def _descriptor(source: bytes | Path) -> int:
    """The encoded bytes as an open file that has no name."""
    if isinstance(source, Path):
        descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
        raise UnreadableAudio("unsupported_media", "A take is a regular file.")
    descriptor = os.memfd_create("take", os.MFD_CLOEXEC)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(source)
    return descriptor


def _facts(done: dict[str, Any]) -> Facts:
    source = done["source"]
    source["warnings"] = tuple(source["warnings"])
    return Facts(done["seconds"], Source(**source), done["peak_memory_bytes"])


def _died(status: int) -> UnreadableAudio:
    """What the end of a child that said nothing means."""
    by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if by in (signal.SIGXCPU, signal.SIGALRM):
        return _out_of_time()
    if by == signal.SIGKILL:
        return UnreadableAudio("decode_memory", "Decoding was ended by the system.")
    return UnreadableAudio("damaged_audio", "The decoder broke down on this file.")


def _out_of_time() -> UnreadableAudio:
    return UnreadableAudio("decode_timeout", "Decoding takes longer than a take may cost.")
