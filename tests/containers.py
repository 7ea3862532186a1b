"""Takes in every container and codec we read, and hostile files that claim to be one."""

import io
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
import numpy as np
import soundfile
from av.audio.stream import AudioStream
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # (channels, samples)


@dataclass(frozen=True)
class Kind:
    """How to encode. `subtype` is libsndfile's and `codec` FFmpeg's; one of them is set."""

    format: str
    subtype: str = ""
    codec: str = ""
    sample_format: str = "fltp"
    bit_rate: int = 0


KINDS = {
    "wav-8": Kind("WAV", "PCM_U8"),
    "wav-16": Kind("WAV", "PCM_16"),
    "wav-24": Kind("WAV", "PCM_24"),
    "wav-32": Kind("WAV", "PCM_32"),
    "wav-float": Kind("WAV", "FLOAT"),
    "wav-double": Kind("WAV", "DOUBLE"),
    "wav-mulaw": Kind("WAV", "ULAW"),
    "wav-extensible": Kind("WAVEX", "PCM_24"),
    "rf64": Kind("RF64", "PCM_16"),
    "flac": Kind("FLAC", "PCM_16"),
    "flac-24": Kind("FLAC", "PCM_24"),
    "aiff": Kind("AIFF", "PCM_16"),
    "aiff-float": Kind("AIFF", "FLOAT"),
    "vorbis": Kind("OGG", "VORBIS"),
    "opus": Kind("ogg", codec="libopus", sample_format="flt", bit_rate=96_000),
    "webm": Kind("webm", codec="libopus", sample_format="flt", bit_rate=96_000),
    "mp3": Kind("mp3", codec="libmp3lame", bit_rate=192_000),
    "m4a": Kind("ipod", codec="aac", bit_rate=192_000),
    "alac": Kind("ipod", codec="alac", sample_format="s16p"),
    "adts": Kind("adts", codec="aac", bit_rate=192_000),
}


def encoded(kind: str, samples: Samples, rate: int, bit_rate: int = 0) -> bytes:
    """A take in one of KINDS."""
    how = KINDS[kind]
    if how.codec:
        return _by_ffmpeg(how, samples, rate, bit_rate or how.bit_rate)
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, format=how.format, subtype=how.subtype)
    return file.getvalue()


def _by_ffmpeg(how: Kind, samples: Samples, rate: int, bit_rate: int) -> bytes:
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[len(samples)]
    file = io.BytesIO()
    with av.open(file, "w", format=how.format) as container:
        stream = cast(AudioStream, container.add_stream(how.codec, rate=rate, layout=layout))
        stream.codec_context.format = how.sample_format
        if bit_rate:
            stream.bit_rate = bit_rate
        # Packed, since PyAV cannot take eight planes.
        packed = np.ascontiguousarray(samples.T, np.float32).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = rate
        frame.pts = 0
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return file.getvalue()


def with_picture(samples: Samples, rate: int) -> bytes:
    """An MP4 whose first stream is video and whose second is the take."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        video = container.add_stream("mpeg4", rate=25, width=64, height=64)
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=rate, layout="mono") if samples.size else None
        if audio is not None:
            audio.bit_rate = 192_000
        for i in range(50):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = i
            for packet in video.encode(picture):
                container.mux(packet)
        container.mux(video.encode(None))
        if audio is not None:
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = rate
            for packet in [*audio.encode(frame), *audio.encode(None)]:
                container.mux(packet)
    return file.getvalue()


def wav_bytes(
    pcm: bytes = bytes(32_000),
    *,
    rate: int = 16_000,
    channels: int = 1,
    bits: int = 16,
    data_size: int | None = None,
    riff_size: int | None = None,
    code: int = 1,
) -> bytes:
    """A WAV whose header says whatever it is told to."""
    align = channels * bits // 8 & 0xFFFF
    shape = struct.pack("<HHIIHH", code, channels, rate, rate * align & 0xFFFFFFFF, align, bits)
    data = struct.pack("<I", len(pcm) if data_size is None else data_size)
    riff = struct.pack("<I", 36 + len(pcm) if riff_size is None else riff_size)
    return b"RIFF" + riff + b"WAVEfmt \x10\0\0\0" + shape + b"data" + data + pcm


def silent_wav(path: Path, seconds: float, rate: int, channels: int = 1) -> Path:
    """Zeros of any length: a sparse file, which takes no time to write."""
    size = round(seconds * rate) * 2 * channels
    header = wav_bytes(b"", rate=rate, channels=channels, data_size=size, riff_size=36 + size)
    path.write_bytes(header)
    os.truncate(path, len(header) + size)
    return path


def silent_flac(seconds: int) -> bytes:
    """48 kHz stereo, written a minute at a time."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 48_000, 2, format="FLAC", subtype="PCM_16") as written:
        for start in range(0, seconds, 60):
            written.write(np.zeros((min(60, seconds - start) * 48_000, 2), np.int16))
    return file.getvalue()


def aiff_bytes(rate_field: bytes, channels: int = 1) -> bytes:
    """An AIFF with this 80-bit float as its rate."""
    common = struct.pack(">HIH", channels, 16_000, 16) + rate_field
    sound = struct.pack(">II", 0, 0) + bytes(32_000)
    body = b"AIFFCOMM" + struct.pack(">I", 18) + common
    body += b"SSND" + struct.pack(">I", len(sound)) + sound
    return b"FORM" + struct.pack(">I", len(body)) + body


def flac_stating(samples: int, flac: bytes) -> bytes:
    """The same FLAC, with another number of samples in its STREAMINFO (36 bits)."""
    at = 8 + 13  # magic and block header, then the byte that holds the number's top four bits
    top = bytes([flac[at] & 0xF0 | samples >> 32 & 15])
    return flac[:at] + top + struct.pack(">I", samples & 0xFFFFFFFF) + flac[at + 5 :]


def with_outside_reference(m4a: bytes, kind: bytes, url: bytes) -> bytes:
    """An M4A whose data reference points to another file. Its boxes grow as they must."""
    at = m4a.index(b"url \0\0\0\1", m4a.index(b"dref"))
    entry = kind + b"\0\0\0\0" + url + b"\0"
    whole = bytearray(m4a[: at - 4] + struct.pack(">I", 4 + len(entry)) + entry + m4a[at + 8 :])
    grown = len(entry) - 8
    for box in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        size = m4a.rindex(box, 0, at) - 4
        whole[size : size + 4] = struct.pack(">I", struct.unpack_from(">I", m4a, size)[0] + grown)
    return bytes(whole)
