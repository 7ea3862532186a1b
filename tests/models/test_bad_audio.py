"""What is no audio, or too much, is refused by a code; what is damaged is read to the damage."""

import ctypes
import io
import os
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.audio import Audio, UnreadableAudio
from models.decode import DecodeLimits, Zygote
from tests.containers import (
    Samples,
    aiff_bytes,
    encoded,
    flac_stating,
    silent_flac,
    silent_wav,
    wav_bytes,
    with_outside_reference,
    with_picture,
)

ROOT = Path(__file__).resolve().parents[2]
CODES = {
    "unsupported_media",
    "no_audio_stream",
    "invalid_parameters",
    "damaged_audio",
    "empty_audio",
    "too_long",
    "decode_ratio",
    "decode_timeout",
    "decode_memory",
}
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    with Zygote() as warm:
        yield warm


def noise(seconds: float = 3.0, rate: int = 44_100, channels: int = 1) -> Samples:
    rng = np.random.default_rng(0)
    return rng.normal(0, 0.05, (channels, round(seconds * rate))).astype(np.float32)


def code(zygote: Zygote, file: bytes | Path, limits: DecodeLimits = DecodeLimits()) -> str:
    with pytest.raises(UnreadableAudio) as refused:
        zygote.decode(file, limits)
    assert refused.value.detail
    return refused.value.code


# --- too much ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hour_of_silence() -> bytes:
    return silent_flac(3_600)


def test_an_hour_of_silence_is_refused_by_its_header(
    zygote: Zygote, hour_of_silence: bytes
) -> None:
    assert len(hour_of_silence) < 1e6
    assert code(zygote, hour_of_silence) == "too_long"


def test_an_hour_that_states_no_length_is_refused_on_the_way(
    zygote: Zygote, hour_of_silence: bytes
) -> None:
    unstated = flac_stating(0, hour_of_silence)
    assert code(zygote, unstated, DecodeLimits(max_ratio=25)) == "decode_ratio"
    assert code(zygote, unstated, DecodeLimits(max_ratio=1e9, max_seconds=70)) == "too_long"


def test_a_header_of_24_hours_is_refused(zygote: Zygote, tmp_path: Path) -> None:
    flac = encoded("flac", noise(), 44_100)
    assert code(zygote, flac_stating(24 * 3_600 * 44_100, flac)) == "too_long"
    assert code(zygote, silent_wav(tmp_path / "day.wav", 24 * 3_600, rate=8_000)) == "too_long"


def test_a_voice_memo_of_6_kbit_and_short_silence_pass(zygote: Zygote) -> None:
    t = np.arange(65 * 48_000) / 48_000
    memo = (0.2 * np.sin(2 * np.pi * 200 * t) * np.sin(t) ** 2).astype(np.float32)[None]
    file = encoded("opus", memo, 48_000, bit_rate=6_000)
    assert len(file) < 65 * 1_200
    assert zygote.decode(file).seconds == pytest.approx(65, abs=0.1)
    silence = silent_flac(50)
    assert zygote.decode(silence).seconds == 50


def test_a_tenth_of_a_second_is_a_take(zygote: Zygote) -> None:
    for kind in ("wav-16", "flac", "opus", "m4a", "mp3"):
        assert zygote.decode(encoded(kind, noise(0.1, 48_000), 48_000)).seconds > 0.09


def test_processor_time_and_memory_run_out(zygote: Zygote, hour_of_silence: bytes) -> None:
    slow = DecodeLimits(max_seconds=1e6, max_ratio=1e6, cpu_s=1)
    assert code(zygote, hour_of_silence, slow) == "decode_timeout"
    assert code(zygote, wav_bytes(), DecodeLimits(memory_bytes=20 << 20)) == "decode_memory"


# --- not audio ---------------------------------------------------------------------------------


def archive() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        packed.writestr("take.wav", wav_bytes())
    return file.getvalue()


NOT_AUDIO = {
    "html": b"<!doctype html><script>alert(1)</script>",
    "gif": b"GIF89a\x01\x00\x01\x00\x00\x00\x00;",
    "png": PNG + bytes(100),
    "zip": archive(),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1/"/></svg>',
    "text": b"la la la\n" * 100,
    "utf-16": "la la la".encode("utf-16"),
    "pdf": b"%PDF-1.7\n" + bytes(200),
    "elf": b"\x7fELF" + bytes(200),
    "zeros": bytes(10_000),
    "avi": b"RIFF\x00\x00\x00\x00AVI LIST",
    "wav header, then a zip": b"RIFF\x00\x10\x00\x00WAVE" + archive(),
    "aiff header, then a zip": b"FORM\x00\x00\x10\x00AIFF" + archive(),
    "id3, then html": b"ID3\x04\x00\x00\x00\x00\x00\x0a" + bytes(10) + b"<html>",
    "one byte": b"R",
}


@pytest.mark.parametrize("kind", NOT_AUDIO)
def test_what_is_no_audio_is_unsupported(zygote: Zygote, kind: str) -> None:
    assert code(zygote, NOT_AUDIO[kind]) == "unsupported_media"


def test_names_mean_nothing(zygote: Zygote, tmp_path: Path) -> None:
    page = tmp_path / "page.wav"
    page.write_bytes(NOT_AUDIO["html"])
    take = tmp_path / "take.html"
    take.write_bytes(wav_bytes())
    assert code(zygote, page) == "unsupported_media"
    assert zygote.decode(take).seconds == 1.0


def test_what_follows_the_samples_is_not_sound(zygote: Zygote) -> None:
    assert zygote.decode(wav_bytes() + archive()).seconds == 1.0


def test_a_title_that_is_no_utf_8_does_no_harm(zygote: Zygote) -> None:
    name = "Köln\0\0".encode("latin-1")
    tag = b"INFOINAM" + struct.pack("<I", len(name)) + name
    titled = wav_bytes(b"").replace(b"data\0\0\0\0", b"")
    titled += b"LIST" + struct.pack("<I", len(tag)) + tag
    titled += b"data" + struct.pack("<I", 32_000) + bytes(32_000)
    assert zygote.decode(titled).seconds == 1.0


def test_files_without_anything(zygote: Zygote) -> None:
    assert code(zygote, b"") == "empty_audio"
    assert code(zygote, wav_bytes(b"")) == "empty_audio"
    assert code(zygote, with_picture(np.zeros((1, 0), np.float32), 44_100)) == "no_audio_stream"


def test_a_folder_is_no_take(zygote: Zygote, tmp_path: Path) -> None:
    assert code(zygote, tmp_path) == "unsupported_media"
    with pytest.raises(FileNotFoundError):
        zygote.decode(tmp_path / "nowhere.wav")


# --- files that send the reader elsewhere ------------------------------------------------------


class Bait:
    """A real take on disk and a listening port. Tells whether anybody came."""

    _OPEN, _ACCESS = 0x20, 0x1

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bait.wav"
        self.path.write_bytes(wav_bytes())
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._watch = self._libc.inotify_init1(os.O_NONBLOCK)
        named = os.fsencode(self.path)
        assert self._libc.inotify_add_watch(self._watch, named, self._OPEN | self._ACCESS) >= 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._datagrams = socket.socket(type=socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self._datagrams.setblocking(False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/take.wav"

    @property
    def port(self) -> int:
        return int(self._datagrams.getsockname()[1])

    def taken(self) -> bool:
        return any(map(self._came, (self._file, self._connection, self._datagram)))

    def _came(self, by: object) -> bool:
        try:
            by()  # type: ignore[operator]
        except BlockingIOError:
            return False
        return True

    def _file(self) -> None:
        os.read(self._watch, 4096)

    def _connection(self) -> None:
        self._listener.accept()

    def _datagram(self) -> None:
        self._datagrams.recv(100)

    def close(self) -> None:
        os.close(self._watch)
        self._listener.close()
        self._datagrams.close()


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    laid = Bait(tmp_path)
    yield laid
    laid.close()


def lures(bait: Bait) -> dict[str, bytes]:
    m4a = encoded("m4a", noise(1), 44_100)
    found: dict[str, bytes] = {}
    for name, target in (("file", str(bait.path)), ("url", bait.url), ("beside", "bait.wav")):
        there = target.encode()
        found |= {
            f"hls {name}": b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\n"
            + there
            + b"\n#EXT-X-ENDLIST\n",
            f"ffconcat {name}": b"ffconcat version 1.0\nfile '" + there + b"'\n",
            f"dash {name}": b'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
            b'type="static"><Period><AdaptationSet mimeType="audio/mp4"><Representation id="1">'
            b"<BaseURL>" + there + b"</BaseURL></Representation></AdaptationSet></Period></MPD>",
            f"iso url {name}": with_outside_reference(m4a, b"url ", there),
            f"iso alis {name}": with_outside_reference(m4a, b"alis", there),
        }
    found["sdp"] = (
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        b"m=audio " + str(bait.port).encode() + b" RTP/AVP 0\n"
    )
    return found


def test_no_file_and_no_network_is_reached(zygote: Zygote, bait: Bait, tmp_path: Path) -> None:
    for name, file in lures(bait).items():
        disguised = tmp_path / "take.wav"
        disguised.write_bytes(file)
        assert code(zygote, disguised) == "unsupported_media", name
        assert not bait.taken(), name


def test_the_bait_is_watched(bait: Bait) -> None:
    assert not bait.taken()
    bait.path.read_bytes()
    assert bait.taken()


def test_ffmpeg_itself_refuses_them_too(bait: Bait) -> None:
    """Even were the first bytes not looked at, the demuxer is named and nothing else opens."""
    from models import demux
    from models.headers import Encoded

    for name, file in lures(bait).items():
        descriptor = os.memfd_create("lure")
        os.write(descriptor, file)
        for demuxer in ("wav", "flac", "mp3", "aac", "ogg", "webm", "mp4", "aiff"):
            try:
                with demux.opened(Encoded(descriptor), demuxer) as container:
                    list(demux.blocks(container, demux.audio_stream(container), demux.Damage()))
            except UnreadableAudio:
                pass
            assert not bait.taken(), (name, demuxer)
        os.close(descriptor)


def test_a_confined_process_can_open_nothing(tmp_path: Path) -> None:
    program = """
import os, socket, sys
from models.decoder import Request, confine
confine(Request(1, 1, 5, 5, 1 << 30, samples=False))
for attempt in (lambda: open(sys.argv[1]), socket.socket, os.pipe, lambda: os.memfd_create("x")):
    try:
        attempt()
    except OSError as error:
        print(error.errno)
"""
    told = subprocess.run(
        [sys.executable, "-c", program, __file__], cwd=ROOT, capture_output=True, text=True
    )
    assert told.stdout.split() == ["24"] * 4  # EMFILE, every time


# --- headers that lie, samples that are none ---------------------------------------------------


def test_parameters_nobody_records_at(zygote: Zygote) -> None:
    for strange in (
        wav_bytes(rate=0),
        wav_bytes(rate=4_000_000_000),
        wav_bytes(rate=1),
        wav_bytes(channels=65_535),
        wav_bytes(channels=0),
        wav_bytes(channels=65),
        aiff_bytes(bytes(10)),
        aiff_bytes(b"\x7f\xff" + b"\xff" * 8),
        aiff_bytes(b"\x40\x0c\xfa" + bytes(7), channels=3_000),
    ):
        assert code(zygote, strange) == "invalid_parameters"
    assert zygote.decode(aiff_bytes(b"\x40\x0c\xfa" + bytes(7))).seconds == 1.0  # 16 kHz


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_a_recorder_that_never_wrote_its_size_is_believed(zygote: Zygote, stated: int) -> None:
    audio = zygote.decode(wav_bytes(data_size=stated, riff_size=stated))
    assert audio.seconds == 1.0
    assert audio.source.warnings == ()


def test_sizes_that_lie(zygote: Zygote) -> None:
    promised_more = zygote.decode(wav_bytes(data_size=2_000_000_000))
    assert promised_more.seconds == 1.0
    assert promised_more.source.warnings == ("truncated",)
    assert zygote.decode(wav_bytes(riff_size=3)).seconds == 1.0
    assert zygote.decode(wav_bytes(data_size=16_000)).seconds == 0.5


@pytest.mark.parametrize("bits", [32, 64])
def test_what_is_no_number_becomes_silence_with_a_warning(zygote: Zygote, bits: int) -> None:
    samples = np.full(16_000, 0.25, f"<f{bits // 8}")
    samples[[10, 5_000, 15_999, 20]] = np.nan, np.inf, -np.inf, 1e30
    audio = zygote.decode(wav_bytes(samples.tobytes(), bits=bits, code=3))
    expected = np.full(16_000, 0.25, np.float32)
    expected[[10, 5_000, 15_999, 20]] = 0
    np.testing.assert_array_equal(audio.samples, expected)
    assert audio.source.warnings == ("4 samples were not finite numbers and are read as 0",)


CUT = ["wav-16", "wav-float", "flac", "aiff", "opus", "vorbis", "webm", "mp3"]


@pytest.mark.parametrize("kind", CUT)
def test_a_truncated_take_is_read_to_the_damage(zygote: Zygote, kind: str) -> None:
    file = encoded(kind, noise(4.0, 48_000), 48_000)
    whole = zygote.decode(file)
    half = zygote.decode(file[: len(file) // 2])
    assert 0.2 * whole.seconds < half.seconds < 0.7 * whole.seconds
    assert half.source.warnings[0] == "truncated"
    n = len(half.samples) - 3_200
    assert np.abs(half.samples[:n] - whole.samples[:n]).max() < 0.02


def test_a_truncated_m4a_has_lost_its_index(zygote: Zygote) -> None:
    file = encoded("m4a", noise(4.0), 44_100)
    assert code(zygote, file[: len(file) // 2]) == "damaged_audio"


@pytest.mark.parametrize("kind", ["flac", "mp3", "m4a", "opus", "webm"])
def test_damage_in_the_middle_is_passed_over_and_said(zygote: Zygote, kind: str) -> None:
    file = bytearray(encoded(kind, noise(6.0, 48_000), 48_000))
    middle = len(file) // 2
    file[middle : middle + 4_000] = np.random.default_rng(3).bytes(4_000)
    audio = zygote.decode(bytes(file))
    assert audio.seconds > 2.9
    assert np.isfinite(audio.samples).all()


def test_nothing_but_damage_is_refused(zygote: Zygote) -> None:
    flac = encoded("flac", noise(), 44_100)
    assert code(zygote, flac[:60] + bytes(range(256)) * 100) in ("damaged_audio", "empty_audio")


# --- anything at all ---------------------------------------------------------------------------

SEEDS = {
    kind: encoded(kind, noise(0.3, 48_000), 48_000)
    for kind in ("wav-24", "flac", "aiff", "opus", "webm", "mp3", "m4a", "adts")
}


def well_behaved(zygote: Zygote, file: bytes) -> None:
    """Either audio, finite and within its limits, or a refusal by a known code."""
    outcome: Audio | str
    try:
        outcome = zygote.decode(file, DecodeLimits(max_seconds=60, wall_s=30, cpu_s=5))
    except UnreadableAudio as refused:
        outcome = refused.code
    if isinstance(outcome, str):
        assert outcome in CODES - {"decode_timeout", "decode_memory"}
    else:
        assert outcome.seconds <= 61
        assert np.isfinite(outcome.samples).all()


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    kind=st.sampled_from(sorted(SEEDS)),
    hits=st.lists(st.tuples(st.integers(0, 600), st.binary(min_size=1, max_size=8)), max_size=6),
    keep=st.integers(4, 40_000),
)
def test_no_header_breaks_the_decoder(
    zygote: Zygote, kind: str, hits: list[tuple[int, bytes]], keep: int
) -> None:
    file = bytearray(SEEDS[kind])
    for at, data in hits:
        file[at : at + len(data)] = data
    well_behaved(zygote, bytes(file[:keep]))


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    magic=st.sampled_from(
        [
            b"RIFF\xff\xff\xff\xffWAVE",
            b"FORM\x00\x00\xff\xffAIFF",
            b"fLaC",
            b"OggS",
            b"\x1a\x45\xdf\xa3",
            b"\x00\x00\x00\x1cftypM4A ",
            b"ID3\x04\x00",
            b"\xff\xfb\x90\x44",
            b"\xff\xf1\x50\x80",
            b"",
        ]
    ),
    rest=st.binary(max_size=600),
)
def test_no_bytes_break_the_decoder(zygote: Zygote, magic: bytes, rest: bytes) -> None:
    well_behaved(zygote, magic + rest)


def test_chunks_that_point_at_themselves_end(zygote: Zygote) -> None:
    loop = b"RIFF\xff\xff\xff\xffWAVE" + struct.pack("<4sI", b"junk", 0) * 100_000
    assert code(zygote, loop) == "unsupported_media"
