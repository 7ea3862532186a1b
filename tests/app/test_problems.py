"""Whatever a client sends is answered by a problem that it can act on, and never by a 500."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from app.analyzer import DeadlineExceeded, Overloaded, Unavailable
from models.audio import UnreadableAudio
from tests.app.test_flow import TAKE, queued, uploaded
from tests.fakes import FakeAnalyzer, raising

Client = httpx2.AsyncClient

HOSTILE_JSON = {
    "nan": b'{"options": {"a4_hz": NaN}}',
    "infinity": b'{"options": {"a4_hz": -Infinity}}',
    "too large a float": b'{"options": {"a4_hz": 1e999}}',
    "huge integer": b'{"options": {"a4_hz": ' + b"9" * 5000 + b"}}",
    "half a surrogate": b'{"options": {"prompt": "\\ud800"}}',
    "half a surrogate as a key": b'{"\\ud800": 1}',
    "nul": b'{"options": {"prompt": "a\\u0000b"}}',
    "deep list": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep but parsed": b'{"options": ' + b"[" * 200 + b"]" * 200 + b"}",
    "duplicate keys": b'{"families": ["pitch"], "families": ["timbre"]}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "utf-16": "{}".encode("utf-16"),
    "not utf-8": b'{"options": {"prompt": "\xff"}}',
    "broken": b'{"families": [',
    "not an object": b"3",
    "unknown field": b'{"user_id": "usr_bob"}',
    "unknown family": b'{"families": ["taste"]}',
    "no family": b'{"families": []}',
    "wrong types": b'{"families": {"a": 1}, "options": [1]}',
}


AS_TEXT = b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nzz\r\n--b--\r\n'


def check_problem(response: httpx2.Response, status: int | None = None) -> dict[str, Any]:
    """It is a problem, in all its parts."""
    assert 400 <= response.status_code < 600
    if status is not None:
        assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    expected = {"type", "title", "status", "detail", "instance", "code", "errors", "request_id"}
    assert set(body) == expected
    assert body["status"] == response.status_code
    assert body["request_id"] == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    assert response.status_code != 503 or int(response.headers["Retry-After"]) >= 1
    return body


@pytest.mark.parametrize("name", HOSTILE_JSON)
async def test_hostile_json_is_refused(ada: Client, name: str) -> None:
    response = await ada.post(
        "/v1/recordings/rec_x/analyses",
        content=HOSTILE_JSON[name],
        headers={"Content-Type": "application/json"},
    )

    assert check_problem(response)["status"] in (400, 422)


async def test_a_wrong_field_is_pointed_at_and_not_echoed(ada: Client) -> None:
    take = await uploaded(ada)

    response = await ada.post(
        f"/v1/recordings/{take}/analyses",
        json={"options": {"a4_hz": 10, "secret~/field": "hunter2"}},
    )

    pointers = {e["pointer"] for e in check_problem(response, 422)["errors"]}
    assert pointers == {"/options/a4_hz", "/options/secret~0~1field"}
    assert "hunter2" not in response.text


@pytest.mark.parametrize(
    "fields",
    [
        {"families": "pitch,taste"},
        {"families": ","},
        {"options": "{"},
        {"options": "[]"},
        {"options": '{"a4_hz": NaN}'},
        {"options": "[" * 5000},
        {"a4_hz": "nan"},
        {"a4_hz": "1e999"},
        {"a4_hz": "9" * 3000},
        {"temperature": "inf"},
        {"temperature": "nan"},
        {"prompt": "a\0b"},
        {"prompt": "x" * 3000},
        {"voice": "bass"},
    ],
    ids=lambda fields: str(fields)[:40],
)
async def test_hostile_form_fields_are_refused(
    ada: Client, analyzer: FakeAnalyzer, fields: dict[str, str]
) -> None:
    response = await ada.post("/v1/analyze", files={"file": ("t.wav", TAKE)}, data=fields)

    assert check_problem(response)["status"] in (400, 422)
    assert analyzer.requests == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("DELETE", "/v1/recordings", 405),
        ("GET", "/v1/recordings/%00", 404),
        ("GET", "/v1/recordings/rec_%ED%A0%80", 404),
        ("GET", "/v1/recordings/' OR 1=1 --", 404),
        ("GET", "/v1/analyses/" + "a" * 4000, 404),
        ("GET", "/v1/analyses/%F0%9F%8E%A4/events", 404),
        ("POST", "/v1/analyze", 422),
        ("POST", "/v1/recordings", 422),
    ],
)
async def test_wrong_paths_and_methods_are_problems(
    ada: Client, method: str, path: str, status: int
) -> None:
    check_problem(await ada.request(method, path), status)


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx"),
        ("multipart/form-data; boundary=b", b"garbage" * 1000),
        ("multipart/form-data; boundary=" + "b" * 300, b"--b"),
        ("multipart/form-data; boundary=b; charset=hex", AS_TEXT),
        ("application/x-www-form-urlencoded", b"file=%00"),
        ("text/plain", b"\xff\xfe"),
        ("application/json", b"{}"),
    ],
)
async def test_broken_multipart_is_refused(ada: Client, content_type: str, body: bytes) -> None:
    for path in ("/v1/recordings", "/v1/analyze"):
        response = await ada.post(path, content=body, headers={"Content-Type": content_type})
        assert check_problem(response)["status"] in (400, 422)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "a\0b.wav", "a\r\nX: y.wav", "\u202egpj.wav", "n" * 4000, "CON", " . "],
)
async def test_a_hostile_file_name_is_only_a_label(ada: Client, name: str) -> None:
    recording = await uploaded(ada, name=name)

    shown = (await ada.get(f"/v1/recordings/{recording}")).json()["name"]

    assert 0 < len(shown) <= 200
    assert not set(shown) & set("/\\\0\r\n\u202e")


@pytest.mark.parametrize(
    ("encoded", "status", "code"),
    [
        (b"<html><script>1</script></html>", 415, "unsupported_media"),
        (b"GIF89a" + bytes(100), 415, "unsupported_media"),
        (b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n", 415, "unsupported_media"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", 415, "unsupported_media"),
        (b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1/x.ts\n", 415, "unsupported_media"),
        (b"", 415, "unsupported_media"),
    ],
)
async def test_what_is_no_audio_is_refused_whatever_it_is_called(
    ada: Client, encoded: bytes, status: int, code: str
) -> None:
    response = await ada.post("/v1/recordings", files={"file": ("take.wav", encoded)})

    assert check_problem(response)["code"] in (code, "empty_audio", "damaged_audio")
    assert (await ada.get("/v1/recordings")).json()["items"] == []


async def test_a_refused_upload_leaves_no_object(ada: Client, settings: Any) -> None:  # noqa: ANN401
    await ada.post("/v1/recordings", files={"file": ("take.wav", b"not audio")})

    assert [p for p in (settings.home / "objects").rglob("*") if p.is_file()] == []


async def test_a_body_over_the_limit_is_refused_with_and_without_its_length(ada: Client) -> None:
    body = b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n" + bytes(4 << 20)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    async def in_chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    for path in ("/v1/recordings", "/v1/analyze"):
        check_problem(await ada.post(path, content=body, headers=headers), 413)
        check_problem(await ada.post(path, content=in_chunks(), headers=headers), 413)


async def test_a_json_body_has_a_small_limit(ada: Client) -> None:
    body = json.dumps({"options": {"prompt": "x" * (2 << 20)}}).encode()

    response = await ada.post(
        "/v1/recordings/rec_x/analyses",
        content=body,
        headers={"Content-Type": "application/json"},
    )

    check_problem(response, 413)


async def test_a_file_over_the_limit_is_refused(ada: Client) -> None:
    response = await ada.post("/v1/analyze", files={"file": ("a.wav", bytes((1 << 20) + 1))})

    check_problem(response, 413)


async def test_a_body_that_dawdles_is_given_up(ada: Client) -> None:
    async def slowly() -> AsyncIterator[bytes]:
        yield b"--b\r\n"
        await asyncio.sleep(5)

    response = await ada.post(
        "/v1/recordings",
        content=slowly(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    check_problem(response, 408)


async def test_a_body_that_drips_is_given_up(ada: Client) -> None:
    async def dripping() -> AsyncIterator[bytes]:
        yield b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        for _ in range(50):
            yield b"x"
            await asyncio.sleep(0.1)

    response = await ada.post(
        "/v1/recordings",
        content=dripping(),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    check_problem(response, 408)


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Overloaded(2.5), 503, "overloaded"),
        (Unavailable("gone"), 503, "analyzer_unavailable"),
        (DeadlineExceeded("slow"), 504, "deadline_exceeded"),
        (UnreadableAudio("no_audio_stream", "A video without sound."), 422, "no_audio_stream"),
        (UnreadableAudio("too_long", "Too long."), 413, "too_long"),
        (UnreadableAudio("decode_ratio", "A bomb."), 413, "decode_ratio"),
        (UnreadableAudio("unsupported_media", "A picture."), 415, "unsupported_media"),
        (UnreadableAudio("decode_timeout", "Slow."), 422, "decode_timeout"),
        (RuntimeError("secret path /root/x"), 500, "internal_error"),
    ],
)
async def test_the_analyzers_failures_reach_the_asker(
    ada: Client, analyzer: FakeAnalyzer, error: Exception, status: int, code: str
) -> None:
    analyzer.before = raising(error)

    response = await ada.post("/v1/analyze", files={"file": ("t.wav", TAKE)})

    assert check_problem(response, status)["code"] == code
    assert "secret" not in response.text


async def test_a_request_keeps_the_id_it_came_with(ada: Client) -> None:
    kept = await ada.get("/healthz", headers={"X-Request-Id": "trace-1.2"})
    replaced = await ada.get("/healthz", headers={"X-Request-Id": 'evil" injected=1'})

    assert kept.headers["x-request-id"] == "trace-1.2"
    assert replaced.headers["x-request-id"].startswith("req_")


@pytest.mark.parametrize("last", ["-1", "x", "99999", "9" * 30, "\u0663", "1; DROP"])
async def test_a_strange_last_event_id_is_a_reset(ada: Client, last: str) -> None:
    analysis = await queued(ada, await uploaded(ada))
    await ada.post(f"/v1/analyses/{analysis}/cancel")

    response = await ada.get(
        f"/v1/analyses/{analysis}/events", headers={b"Last-Event-ID": last.encode()}
    )

    assert response.text.startswith("event: reset\n")
    assert "event: cancelled" in response.text
