"""The child that decodes: `python -m models.decoder` forks one confined process for each take.

Its stdin is a socket. Each message there is a request (JSON) with two descriptors: the encoded
bytes, and the socket that the answer goes to. No path and no name ever reaches this process.
"""

import array
import gc
import hashlib
import json
import math
import os
import resource
import select
import signal
import socket
import struct
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from models import demux
from models.audio import Source, UnreadableAudio
from models.headers import (
    Encoded,
    Promise,
    container_of,
    ends_early,
    promise_of,
    states_its_length,
)
from models.mixdown import Mixdown

# First byte of each message of an answer.
SAMPLES, DONE, REFUSED, EXITED = b"S", b"D", b"R", b"X"

Send = Callable[[bytes, bytes | memoryview], None]
_MESSAGE = 16_384  # samples in a message: 64 kB, well under a socket's buffer
_RATIO_GRACE_S = 60.0
_PADDING_S = 0.2  # what lossy codecs add to a take of exactly the longest length


@dataclass(frozen=True, slots=True)
class Request:
    """What a take may cost, and whether its samples are wanted."""

    max_seconds: float
    max_ratio: float
    wall_s: float
    cpu_s: float
    memory_bytes: int
    samples: bool


# --- one take, in its own process ---------------------------------------------------------------


def confine(request: Request) -> None:
    """Nothing can be opened or started from here on, and time and memory run out by themselves."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, request.wall_s)
    cpu = math.ceil(request.cpu_s)
    for what, limit in (
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_DATA, request.memory_bytes),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        # One more CPU second for the hard limit: at the soft one the signal names the cause.
        resource.setrlimit(what, (limit, limit + (what == resource.RLIMIT_CPU)))


def answer(encoded: Encoded, request: Request, send: Send) -> None:
    """Sends the samples as they are made, then what the take was; or why it is refused."""
    try:
        done = _decode(encoded, request, send)
    except UnreadableAudio as error:
        send(REFUSED, json.dumps({"code": error.code, "detail": error.detail}).encode())
    except MemoryError:
        text = "Decoding needs more memory than a take may use."
        send(REFUSED, json.dumps({"code": "decode_memory", "detail": text}).encode())
    else:
        send(DONE, json.dumps(done).encode())


def _decode(encoded: Encoded, request: Request, send: Send) -> dict[str, Any]:
    name = container_of(encoded)
    promise = promise_of(name, encoded)
    with demux.opened(encoded, name) as container:
        stream = demux.audio_stream(container)
        stated = (
            demux.stated_seconds(container, stream) if states_its_length(name, encoded) else None
        )
        check_duration(stated or 0.0, request)
        mixdown, damage = Mixdown(), demux.Damage()
        for block, rate, rail in demux.blocks(container, stream, damage):
            samples = mixdown.feed(block, rate, rail)
            check_duration(mixdown.seconds, request)
            check_ratio(mixdown, rate, len(block), encoded.size, request)
            _send(samples, request, send)
        _send(mixdown.finish(), request, send)
        if not mixdown.frames:
            raise damage.refusal()
        early = damage.broke_off or ends_early(name, encoded, promise)
        early |= stated is not None and mixdown.seconds + 0.15 < stated
        source = Source(
            container=name,
            codec=stream.codec_context.codec.canonical_name,
            sample_rate=stream.codec_context.sample_rate,
            channels=stream.codec_context.layout.nb_channels,
            clipped_fraction=mixdown.clipping.fraction,
            sha256=_sha256(encoded),
            warnings=tuple(_warnings(early, damage, mixdown, promise)),
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "source": asdict(source),
        "seconds": round(mixdown.seconds, 6),
        "peak_memory_bytes": peak,
    }


def check_duration(seconds: float, request: Request) -> None:
    if seconds > request.max_seconds + _PADDING_S:
        text = f"A take may last {request.max_seconds:.0f} s; this one lasts {seconds:.0f} s"
        raise UnreadableAudio("too_long", f"{text} or more.")


def check_ratio(mixdown: Mixdown, rate: int, channels: int, size: int, request: Request) -> None:
    """Decoded bytes are counted as 16 bit, whatever the codec: 2 x channels x frames."""
    ratio = 2 * channels * mixdown.frames / size
    if mixdown.seconds > _RATIO_GRACE_S and ratio > request.max_ratio:
        text = f"The audio unpacks to more than {request.max_ratio:.0f} times the file's size"
        raise UnreadableAudio("decode_ratio", f"{text}: that is no recording of a voice.")


def _send(samples: NDArray[np.float32], request: Request, send: Send) -> None:
    if not request.samples:
        return
    for start in range(0, len(samples), _MESSAGE):
        send(SAMPLES, np.ascontiguousarray(samples[start : start + _MESSAGE]).data)


def _warnings(
    early: bool, damage: demux.Damage, mixdown: Mixdown, promise: Promise
) -> Iterator[str]:
    if early:
        yield "truncated"
    if damage.skipped:
        yield f"damaged: {damage.skipped} of {damage.packets} packets skipped"
    if mixdown.unreal:
        yield f"{mixdown.unreal} samples were not finite numbers and are read as 0"


def _sha256(encoded: Encoded) -> str:
    digest = hashlib.sha256()
    for start in range(0, encoded.size, 1 << 20):
        digest.update(encoded.at(start, 1 << 20))
    return digest.hexdigest()


# --- the warm parent ----------------------------------------------------------------------------


class Nursery:
    """Forks a process per request, and ends it when nobody waits for its answer any more."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, tuple[int, socket.socket]] = {}  # by descriptor: pid, answer
        self._exits: dict[int, tuple[int, socket.socket]] = {}  # by descriptor: status, answer
        self._poll = select.poll()
        self._wakeup, wake = socket.socketpair()
        self._wakeup.setblocking(False)
        wake.setblocking(False)
        self._wake = wake  # kept: it must outlive the signal handler
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._wakeup, select.POLLIN)

    def serve(self) -> None:
        """Until the other end of the control socket is closed."""
        self._control.send(b"warm")
        while True:
            for descriptor, event in self._poll.poll():
                if descriptor == self._control.fileno():
                    if not self._adopt():
                        return self._end_all()
                elif descriptor == self._wakeup.fileno():
                    self._reap()
                elif descriptor in self._exits:
                    self._tell(descriptor)
                elif event & (select.POLLHUP | select.POLLERR) and descriptor in self._children:
                    self._poll.unregister(descriptor)
                    os.kill(self._children[descriptor][0], signal.SIGKILL)

    def _adopt(self) -> bool:
        message, descriptors = _receive(self._control)
        if not message:
            return False
        source, reply = descriptors
        pid = os.fork()
        if pid == 0:
            _be_child(source, reply, Request(**json.loads(message)))
        os.close(source)
        self._children[reply] = pid, socket.socket(fileno=reply)
        self._poll.register(reply, 0)  # only POLLHUP: nobody waits any more
        return True

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._wakeup.recv(4096)
        for descriptor, (pid, reply) in list(self._children.items()):
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                del self._children[descriptor]
                self._exits[descriptor] = status, reply
                self._poll.register(descriptor, select.POLLOUT)

    def _tell(self, descriptor: int) -> None:
        """The last word of an answer: for one that has no other, how its process ended."""
        status, reply = self._exits.pop(descriptor)
        self._poll.unregister(descriptor)
        with reply, suppress(OSError):  # usually the caller has heard enough, and closed
            reply.sendmsg([EXITED, str(status).encode()], [], socket.MSG_DONTWAIT)

    def _end_all(self) -> None:
        for pid, _ in self._children.values():
            os.kill(pid, signal.SIGKILL)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    message, ancillary, _, _ = control.recvmsg(
        4096, socket.CMSG_SPACE(2 * array.array("i").itemsize)
    )
    descriptors = array.array("i")
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data)
    return message, list(descriptors)


def _be_child(source: int, reply: int, request: Request) -> None:
    """Never returns: the parent's loop and its descriptors are none of a take's business."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        source, reply = os.dup(source), os.dup(reply)
        os.dup2(source, 0)
        os.dup2(reply, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX") if source > 1000 else 1024)
        channel = socket.socket(fileno=1)
        confine(request)
        answer(Encoded(0), request, lambda tag, data: _say(channel, tag, data))
        status = 0
    except Exception:
        traceback.print_exc()  # our own mistake: to the server's log, not to the client
    finally:
        os._exit(status)


def _say(channel: socket.socket, tag: bytes, data: bytes | memoryview) -> None:
    channel.sendmsg([tag, data])


def warm() -> None:
    """Whatever loads late loads here: a child can open no file, not even a module's."""
    samples = bytes(2 * 640)
    head = struct.pack("<IHHIIHH", 16, 1, 1, 8_000, 16_000, 2, 16)
    data = b"WAVEfmt " + head + b"data" + struct.pack("<I", len(samples)) + samples
    with tempfile.TemporaryFile() as file:
        file.write(b"RIFF" + struct.pack("<I", len(data)) + data)
        file.flush()
        unlimited = Request(1, 1_000, 1, 1, 0, samples=True)
        answer(Encoded(file.fileno()), unlimited, lambda *_: None)
    surround = av.AudioFrame("fltp", "7.1", 8)
    surround.sample_rate = 48_000
    demux.Unpacker()(surround)


def main() -> None:
    warm()
    gc.collect()
    gc.freeze()  # children share these pages as long as nobody writes to them
    with socket.socket(fileno=os.dup(0)) as control:
        Nursery(control).serve()


if __name__ == "__main__":
    main()
