"""FFmpeg on a short lead: one demuxer, listed codecs, no way to open anything. Blocks come out."""

from collections.abc import Iterator
from typing import Any, NoReturn, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from numpy.typing import NDArray

from models.audio import UnreadableAudio
from models.headers import Encoded, check_parameters
from models.mixdown import Block

_DEMUXERS = {"mp4": "mov", "webm": "matroska"}  # FFmpeg's names, where they differ from ours
_CODECS = (
    "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,"
    "pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,flac,mp3,mp3float,aac,opus,vorbis,alac"
)
_BLOCK = 32_768  # samples of all channels that are worked on at once


def opened(encoded: Encoded, name: str) -> InputContainer:
    """The container, by the demuxer its own bytes chose: FFmpeg does not guess, nor open more."""

    demuxer = _DEMUXERS.get(name, name)

    def refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
        raise PermissionError("a take has no business to open anything else")

    options = {
        "format_whitelist": demuxer,
        "protocol_whitelist": "none",
        "codec_whitelist": _CODECS,
        "max_streams": "32",
    }
    if demuxer == "wav":
        # The default packets of 4 kB cost twice the time; the header needs no probing of them.
        options |= {"max_size": "65536", "max_probe_packets": "1"}
    try:
        return av.open(
            encoded,
            "r",
            format=demuxer,
            options=options,
            io_open=refuse,
            buffer_size=1 << 17,
            metadata_errors="replace",  # a title in Latin-1 is no reason to refuse the take
        )
    except av.error.FFmpegError as error:
        raise _unreadable(error, f"The {demuxer} header cannot be read") from error


def _unreadable(error: av.error.FFmpegError, what: str) -> Exception:
    if isinstance(error, MemoryError):
        return MemoryError(str(error))
    return UnreadableAudio("damaged_audio", f"{what}: {error.strerror}.")


def audio_stream(container: InputContainer) -> AudioStream:
    if not container.streams.audio:
        raise UnreadableAudio("no_audio_stream", "The file has no audio in it.")
    stream = container.streams.audio[0]
    context = stream.codec_context
    if context is None or context.codec.name not in _CODECS.split(","):
        codec = context.codec.canonical_name if context else "unknown"
        raise UnreadableAudio("unsupported_media", f"Audio coded as {codec} is not read here.")
    check_parameters(context.sample_rate, context.layout.nb_channels)
    context.thread_count = 1
    return stream


def stated_seconds(container: InputContainer, stream: AudioStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None  # the whole file's duration may be its pictures'
    return float(container.duration / av.time_base)


class Damage:
    """What could not be decoded."""

    def __init__(self) -> None:
        self.skipped = 0
        self.packets = 0
        self.broke_off = False

    def refusal(self) -> UnreadableAudio:
        if self.skipped or self.broke_off:
            return UnreadableAudio("damaged_audio", "Nothing in the file could be decoded.")
        return UnreadableAudio("empty_audio", "The file has no samples in it.")


def _frames(container: InputContainer, stream: AudioStream, damage: Damage) -> Iterator[AudioFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            damage.broke_off = True  # the container itself is damaged: keep what came before
            return
        if packet is None:
            return
        damage.packets += 1
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            if isinstance(error, MemoryError):
                raise
            damage.skipped += 1
            continue
        yield from frames


def blocks(
    container: InputContainer, stream: AudioStream, damage: Damage
) -> Iterator[tuple[Block, int, float]]:
    """(channels, samples) float32, their rate, and the magnitude that counts as full scale."""
    held: list[NDArray[Any]] = []
    kind = "", 0, 0
    unpack, size = Unpacker(), 0
    for frame in _frames(container, stream, damage):
        this = frame.format.name, frame.layout.nb_channels, frame.sample_rate
        if held and (this != kind or size >= _BLOCK):
            yield _block(held, kind[2])
            held, size = [], 0
        if this != kind:
            check_parameters(frame.sample_rate, frame.layout.nb_channels)
            unpack, kind = Unpacker(), this
        held.append(unpack(frame))
        size += held[-1].size
    if held:
        yield _block(held, kind[2])


class Unpacker:
    """A frame's samples as (channels, samples), in their own type."""

    def __init__(self) -> None:
        self._interleave = av.AudioResampler(format="flt")

    def __call__(self, frame: AudioFrame) -> NDArray[Any]:
        channels = frame.layout.nb_channels
        if frame.format.is_planar and channels < 8:
            return cast(NDArray[Any], frame.to_ndarray())
        if frame.format.is_planar:  # PyAV reads past the list of planes from eight on
            made = [f.to_ndarray() for f in self._interleave.resample(frame)]
            return np.concatenate(made, axis=1).reshape(-1, channels).T
        return frame.to_ndarray().reshape(-1, channels).T


def _block(held: list[NDArray[Any]], rate: int) -> tuple[Block, int, float]:
    raw = np.concatenate(held, axis=1)
    if raw.dtype.kind == "f":
        with np.errstate(over="ignore"):
            return raw.astype(np.float32, copy=False), rate, 1.0
    full = 1 << (8 * raw.dtype.itemsize - 1)
    scaled = raw.astype(np.float32)
    if raw.dtype.kind == "u":
        scaled -= full
    scaled /= full
    # Recorders clip to -max as well as to min: one step inside full scale is still the rail.
    return scaled, rate, 1 - 1.5 / min(full, 32_768)
