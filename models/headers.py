"""What the first bytes of a take say it is, and what they promise. Reads bytes, opens nothing."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from models.audio import UnreadableAudio

MIN_RATE, MAX_RATE = 1_000, 768_000  # Hz
MAX_CHANNELS = 64
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)  # what a recorder writes that cannot go back to its header


class Encoded:
    """The take's bytes by descriptor: no name and no folder, so nothing can be opened beside it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size
        self._position = 0

    def read(self, count: int) -> bytes:
        data = self.at(self._position, count)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise OSError("seek before the start")
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def at(self, offset: int, count: int) -> bytes:
        return os.pread(self._descriptor, count, offset)


@dataclass(frozen=True, slots=True)
class Promise:
    """What the header says. None where it says nothing, or where FFmpeg reads it better."""

    sample_rate: int | None = None
    channels: int | None = None
    audio_bytes: int | None = None  # of the data chunk
    end: int | None = None  # offset where that chunk ends


def container_of(encoded: Encoded) -> str:
    """'wav', 'flac', 'mp3', 'aac', 'ogg', 'webm', 'matroska', 'mp4' or 'aiff', by content.

    Raises UnreadableAudio 'empty_audio' without a byte, 'unsupported_media' for anything else.
    """
    if not encoded.size:
        raise UnreadableAudio("empty_audio", "The file is empty.")
    head = encoded.at(0, 64)
    found = _behind_id3(encoded, head) if head[:3] == b"ID3" else _by_magic(head)
    if found is None:
        raise UnreadableAudio(
            "unsupported_media",
            "This is none of WAV, FLAC, MP3, M4A/AAC, OGG (Opus, Vorbis), WebM and AIFF.",
        )
    return found


def _by_magic(head: bytes) -> str | None:
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return "aiff"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "webm" if b"webm" in head else "matroska"
    if head[4:8] == b"ftyp":
        return "mp4"
    return {b"fLaC": "flac", b"OggS": "ogg"}.get(head[:4]) or _by_sync_word(head)


def _by_sync_word(head: bytes) -> str | None:
    """MPEG audio has no magic: 11 bits of sync, then fields of which some values are reserved."""
    if len(head) < 4 or head[0] != 0xFF:
        return None
    if head[1] & 0xF6 == 0xF0 and (head[2] >> 2) & 15 < 13:
        return "aac"
    layer_3 = head[1] & 0xE6 == 0xE2 and head[1] & 0x18 != 0x08
    valid = head[2] >> 4 not in (0, 15) and head[2] & 0x0C != 0x0C
    return "mp3" if layer_3 and valid else None


def _behind_id3(encoded: Encoded, head: bytes) -> str | None:
    if len(head) < 10:
        return None
    size = sum(
        (byte & 127) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True)
    )
    after = encoded.at(10 + size, 4096).lstrip(b"\0")  # taggers leave padding
    found = _by_magic(after[:64])
    return found if found in ("mp3", "aac", "flac") else None


def promise_of(container: str, encoded: Encoded) -> Promise:
    """Raises UnreadableAudio 'invalid_parameters' for a rate or channel count nobody records at,
    'unsupported_media' if a WAV or AIFF lacks the chunk that would make it one, or if an MP4 says
    that its sound lies in another file."""
    if container == "mp4" and _refers_outside(encoded, 0, encoded.size):
        text = "The file says that its sound lies in another file; send that one."
        raise UnreadableAudio("unsupported_media", text)
    if container == "wav":
        promise = _wav(encoded)
    elif container == "aiff":
        promise = _aiff(encoded)
    else:
        return Promise()
    check_parameters(promise.sample_rate, promise.channels)
    return promise


def check_parameters(sample_rate: int | None, channels: int | None) -> None:
    if sample_rate is None or not MIN_RATE <= sample_rate <= MAX_RATE:
        text = f"The sample rate is {sample_rate} Hz; {MIN_RATE} to {MAX_RATE} Hz can be read."
        raise UnreadableAudio("invalid_parameters", text)
    if channels is None or not 1 <= channels <= MAX_CHANNELS:
        text = f"The file has {channels} channels; 1 to {MAX_CHANNELS} can be read."
        raise UnreadableAudio("invalid_parameters", text)


def _wav(encoded: Encoded) -> Promise:
    chunks = _chunks(encoded, "<I")
    if b"fmt " not in chunks:
        raise UnreadableAudio("unsupported_media", "A WAV header without its format chunk.")
    channels, rate = struct.unpack("<HI", encoded.at(chunks[b"fmt "][0] + 2, 6).ljust(6, b"\0"))
    at, size = chunks.get(b"data", (0, 0))
    if size in _UNKNOWN_SIZES:
        return Promise(rate, channels)
    return Promise(rate, channels, size, at + size)


def _aiff(encoded: Encoded) -> Promise:
    chunks = _chunks(encoded, ">I")
    if b"COMM" not in chunks:
        raise UnreadableAudio("unsupported_media", "An AIFF header without its common chunk.")
    channels, _, _, exponent, mantissa = struct.unpack(
        ">HIHHQ", encoded.at(chunks[b"COMM"][0], 18).ljust(18, b"\0")
    )
    # The rate is an 80-bit float; what lies outside its usual exponents is no rate.
    rate = mantissa >> (16446 - exponent) if 16383 <= exponent <= 16446 else 0
    at, size = chunks.get(b"SSND", (0, 0))
    return Promise(rate, channels, size or None, at + size if size else None)


def _chunks(encoded: Encoded, length: str) -> dict[bytes, tuple[int, int]]:
    """(offset, size) of each chunk's body, by its first occurrence. Reads at most 128 headers."""
    found: dict[bytes, tuple[int, int]] = {}
    at = 12
    for _ in range(128):
        header = encoded.at(at, 8)
        if len(header) < 8:
            break
        size = struct.unpack(length, header[4:])[0]
        found.setdefault(header[:4], (at + 8, size))
        at += 8 + size + size % 2
    return found


_DOWN_TO_REFERENCES = (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref")


def _refers_outside(encoded: Encoded, start: int, end: int, depth: int = 0) -> bool:
    """Whether an ISO data reference is not to the file itself. `depth` names the box looked for."""
    for kind, body, stop in _boxes(encoded, start, end):
        if kind != _DOWN_TO_REFERENCES[depth]:
            continue
        if kind != b"dref":
            if _refers_outside(encoded, body, stop, depth + 1):
                return True
            continue
        for _, flags, _ in _boxes(encoded, body + 8, stop):
            if encoded.at(flags, 4)[3:] != b"\1":
                return True
    return False


def _boxes(encoded: Encoded, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start, end) of each box's body between two offsets. At most 1,024."""
    for _ in range(1_024):
        header = encoded.at(start, 16)
        if start + 8 > end or len(header) < 8:
            return
        size, body = int.from_bytes(header[:4], "big"), start + 8
        if size == 1:
            size, body = int.from_bytes(header[8:], "big"), start + 16
        stop = min(start + size, end) if size else end
        if stop < body:
            return
        yield header[4:8], body, stop
        start = stop


def ends_early(container: str, encoded: Encoded, promise: Promise) -> bool:
    """Whether bytes are missing at the end, as far as the container can tell without decoding."""
    if promise.end is not None:
        return promise.end > encoded.size
    if container != "ogg":
        return False
    tail = encoded.at(max(encoded.size - 131_072, 0), 131_072)
    page = tail.rfind(b"OggS")
    return page < 0 or len(tail) < page + 6 or not tail[page + 5] & 4  # no end-of-stream page


def states_its_length(container: str, encoded: Encoded) -> bool:
    """Whether FFmpeg's duration comes from the header and is no guess from the bit rate."""
    if container == "aac":
        return False
    if container != "mp3":
        return True
    first_frame = encoded.at(_id3_size(encoded.at(0, 10)), 4096)
    return b"Xing" in first_frame or b"Info" in first_frame


def _id3_size(head: bytes) -> int:
    """Bytes before the first frame: four times seven bits in the tag's header."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return 10 + sum((head[6 + i] & 127) << 7 * (3 - i) for i in range(4))
