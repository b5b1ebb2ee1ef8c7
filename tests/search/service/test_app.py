"""The service over HTTP: what it answers, what it refuses and in which words, and that no input brings it down."""

from __future__ import annotations

import asyncio
import io
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

import ser_core
from search.service import limits as bounds
from search.service import server
from search.service.batching import ModelFailure
from search.service.limits import Limits
from ser_core.batches import ROUNDING
from ser_core.features.audio import read_audio
from ser_core.predict import speech_probabilities
from tests.search.service.running import FINISHED, RATE_HZ, hearing_with, serving, speech

Files = list[tuple[str, tuple[str, bytes]]]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A service of the model of a finished run."""
    with serving(limits=Limits(request_mib=2, file_seconds=30)) as found:
        yield found


def audio(samples: np.ndarray, rate_hz: int = RATE_HZ, kind: str = "WAV", **settings: Any) -> bytes:
    with io.BytesIO() as file:
        soundfile.write(file, samples, rate_hz, format=kind, **settings)
        return file.getvalue()


def files(**named: bytes) -> Files:
    return [("files", (name.replace("_", "."), content)) for name, content in named.items()]


def ask(address: str, sent: Any, **settings: Any) -> httpx.Response:
    return httpx.post(f"{address}/predict", files=sent, timeout=PATIENCE, **settings)


def error_of(answer: httpx.Response) -> str:
    """The words of a refusal, which hold nothing else."""
    body = answer.json()
    assert set(body) == {"error"}
    return str(body["error"])


# -- what it answers --------------------------------------------------------------------------------------------------


def test_files_of_any_kind_get_what_predict_says_of_them(address: str) -> None:
    samples = speech(1.2)
    stereo = np.stack([speech(4.0, seed=1, rate_hz=44_100), speech(4.0, seed=2, rate_hz=44_100)], axis=1)
    sent = files(
        a_wav=audio(samples, subtype="FLOAT"),
        b_flac=audio(stereo, 44_100, "FLAC"),
        c_ogg=audio(speech(8.0, seed=3), kind="OGG"),
        d_au=audio(speech(0.3, rate_hz=8_000), 8_000, "AU"),
    )
    answer = ask(address, sent)
    assert answer.status_code == 200
    predictor = ser_core.load(FINISHED / "final")
    for (_, (name, content)), found in zip(sent, answer.json()["predictions"], strict=True):
        own = read(content, name)
        expected = speech_probabilities(predictor, own)
        assert found["file"] == name
        assert found["error"] is None
        assert found["seconds"] == pytest.approx(len(own) / RATE_HZ, abs=1e-3)
        assert list(found["probabilities"]) == list(predictor.classes)
        np.testing.assert_allclose(list(found["probabilities"].values()), expected, rtol=0, atol=ROUNDING)
        assert found["emotion"] == predictor.classes[int(expected.argmax())]


def read(content: bytes, name: str) -> np.ndarray:
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(content)
        return read_audio(Path(folder) / name, RATE_HZ)


def test_a_file_that_cannot_be_read_is_named_and_the_rest_goes_on(address: str) -> None:
    good = audio(speech())
    answer = ask(address, files(bad_wav=b"RIFF....WAVE", good_wav=good, quiet_wav=audio(np.zeros(RATE_HZ))))
    assert answer.status_code == 200
    bad, fine, quiet = answer.json()["predictions"]
    assert (bad["emotion"], bad["probabilities"]) == (None, {})
    assert bad["error"]
    assert fine["error"] is None
    assert quiet["error"].startswith("silent: no sample is farther")
    nothing = ask(address, files(bad_wav=b"not audio"))
    assert nothing.status_code == 422
    assert "not an audio file that libsndfile reads" in nothing.json()["predictions"][0]["error"]


def test_fifty_clients_at_once_get_the_answers_of_one(address: str) -> None:
    content = [audio(speech(0.4 + 0.1 * n, seed=n), subtype="FLOAT") for n in range(5)]
    alone = [probabilities(ask(address, files(a_wav=each))) for each in content]
    found: dict[int, list[float]] = {}

    def client(number: int) -> None:
        found[number] = probabilities(ask(address, files(a_wav=content[number % 5])))

    threads = [threading.Thread(target=client, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(50):
        np.testing.assert_allclose(found[number], alone[number % 5], rtol=0, atol=2 * ROUNDING)
    text = httpx.get(f"{address}/metrics").text
    heard, batches = number_of(text, "ser_batch_crops_sum"), number_of(text, "ser_batch_crops_count")
    assert batches < heard


def probabilities(answer: httpx.Response) -> list[float]:
    assert answer.status_code == 200, answer.text
    return list(answer.json()["predictions"][0]["probabilities"].values())


def number_of(metrics: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (.+)$", metrics, flags=re.MULTILINE)
    assert found is not None, metrics
    return float(found[1])


def test_prometheus_is_told_of_requests_files_and_what_waits(address: str) -> None:
    before = httpx.get(f"{address}/metrics").text
    ask(address, files(a_wav=audio(speech()), b_wav=b"no"))
    httpx.get(f"{address}/invented-by-a-client")
    after = httpx.get(f"{address}/metrics")
    assert after.headers["content-type"].startswith("text/plain; version=")
    told = 'ser_requests_total{path="/predict",status="200"}'
    grown = number_of(after.text, told) - (number_of(before, told) if told in before else 0)
    assert grown == 1
    assert number_of(after.text, 'ser_files_total{outcome="refused"}') >= 1
    assert number_of(after.text, "ser_queue_files") == number_of(after.text, "ser_queue_crops") == 0
    assert "invented" not in after.text
    assert 'ser_request_seconds_bucket{le="0.1",path="/predict"}' in after.text


def test_it_describes_itself(address: str) -> None:
    document = httpx.get(f"{address}/openapi.json").json()
    assert set(document["paths"]) == {"/predict", "/healthz"}
    predict = document["paths"]["/predict"]["post"]
    assert {"200", "408", "413", "415", "422", "503"} <= set(predict["responses"])
    assert "files" in json.dumps(predict["requestBody"])
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
    for path in ("/docs", "/redoc"):  # which would fetch scripts from elsewhere
        assert httpx.get(f"{address}{path}").status_code == 404


# -- what it refuses --------------------------------------------------------------------------------------------------


def test_a_request_that_is_too_large_is_told_so_whether_it_announces_it_or_not(address: str) -> None:
    large = bytes(3 << 20)
    announced = ask(address, files(a_wav=large))

    def pieces() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\n'
        for _ in range(48):
            yield large[: 1 << 16]
        yield b"\r\n--x--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=x"}
    chunked = httpx.post(f"{address}/predict", content=pieces(), headers=kind, timeout=PATIENCE)
    for answer in (announced, chunked):
        assert answer.status_code == 413
        assert error_of(answer) == (
            "a request may have up to 2 MiB, and this one has more: send fewer or shorter files"
        )


def test_a_small_file_of_hours_is_refused_before_it_fills_the_memory(address: str) -> None:
    """FLAC writes constants in a few bytes: here more than an hour in 210 kB."""
    bomb = audio(np.full(70 * 60 * RATE_HZ, 0.25, dtype=np.float32), kind="FLAC")
    assert len(bomb) < 300_000
    answer = ask(address, files(a_flac=bomb))
    assert answer.json()["predictions"][0]["error"] == "longer than 30 s: cut it into clips"
    fast = ask(address, files(a_wav=audio(speech(0.2, rate_hz=400_000), 400_000)))
    assert "up to 192,000 Hz are served: resample it" in fast.json()["predictions"][0]["error"]


@pytest.mark.parametrize(
    ("request_of", "status", "words"),
    [
        ({"content": b"abc"}, 415, "files come as multipart/form-data in the field 'files'"),
        ({"json": {}}, 415, "got application/json"),
        ({"files": [("audio", ("a.wav", b"x"))]}, 422, "one or more files in the field 'files'; got audio"),
        ({"files": [("files", (f"{n}.wav", b"x")) for n in range(17)]}, 400, "Maximum number of files is 16"),
        ({"content": b"--x\r\nnonsense", "headers": {"content-type": "multipart/form-data"}}, 400, "cannot be read"),
        ({"files": [("files", ("a.wav", b"x"))], "headers": {"origin": "http://evil.example"}}, 403, "own page"),
    ],
)
def test_a_request_that_is_none_is_refused_in_words(
    address: str, request_of: dict[str, Any], status: int, words: str
) -> None:
    answer = httpx.post(f"{address}/predict", timeout=PATIENCE, **request_of)
    assert answer.status_code == status
    assert words in error_of(answer)


def test_paths_and_methods_that_do_not_exist_are_refused(address: str) -> None:
    assert httpx.get(f"{address}/../etc/passwd").status_code == 404
    assert "no such address" in error_of(httpx.get(f"{address}/try.css"))
    assert "another method" in error_of(httpx.get(f"{address}/predict"))


@given(content=st.binary(max_size=3_000), name=st.text(max_size=40))
@example(content=b"", name="")
@example(content=b"RIFF\xff\xff\xff\xffWAVEfmt ", name="../../etc/passwd\x00.wav")
@example(content=b"fLaC" + bytes(40), name="a.raw")
@example(content=bytes(2_000), name="clip.gsm")
@settings(max_examples=40)
def test_no_content_and_no_name_brings_it_down(address: str, content: bytes, name: str) -> None:
    answer = ask(address, [("files", (name or "a", content))])
    assert answer.status_code in (200, 400, 422)
    assert "Traceback" not in answer.text
    assert "upload-" not in answer.text  # names of this machine's files are nobody's business


@pytest.mark.parametrize("charset", ["utf-7", "punycode", "hex", "no-such"])
def test_the_character_set_of_a_form_is_the_client_s_and_harms_nobody(address: str, charset: str) -> None:
    """In UTF-7 the name is half a character, which no JSON holds; reading Punycode takes the square of its length."""
    head = b'--x\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n'
    body = head % (b"files", b'; filename="+2AA-.wav"') + audio(speech()) + b"\r\n"
    kind = {"content-type": f"multipart/form-data; boundary=x; charset={charset}"}
    answer = httpx.post(f"{address}/predict", content=body + b"--x--\r\n", headers=kind, timeout=PATIENCE)
    assert answer.status_code in (200, 400, 422)
    long = body + head % (b"other", b"") + b"a" * 500_000 + b"\r\n--x--\r\n"
    refused = httpx.post(f"{address}/predict", content=long, headers=kind, timeout=PATIENCE)
    assert refused.status_code == 400
    assert "the form cannot be read" in error_of(refused)


def test_headers_forbid_what_the_page_does_not_need(address: str) -> None:
    for path in ("/", "/healthz", "/nowhere", "/try.js"):
        headers = httpx.get(f"{address}{path}").headers
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


# -- time and room ----------------------------------------------------------------------------------------------------


class Gate:
    """A hearing that answers once it may."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.waiting = 0

    async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
        self.waiting += 1
        try:
            while not self.open.is_set():
                await asyncio.sleep(0.005)
        finally:
            self.waiting -= 1
        return np.array([0.25, 0.75], dtype=np.float32)


def soon(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.005)


def test_the_queue_has_an_end_and_no_answer_is_lost_before_it() -> None:
    gate, good, statuses = Gate(), files(a_wav=audio(speech())), []
    with hearing_with(gate, Limits(queue=3)) as address:
        clients = [threading.Thread(target=lambda: statuses.append(ask(address, good).status_code)) for _ in range(3)]
        for client in clients:
            client.start()
        soon(lambda: gate.waiting == 3)
        refused = ask(address, good)
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert error_of(refused) == "3 files wait already, which is the most: try again in a moment"
        assert httpx.get(f"{address}/healthz").status_code == 200
        gate.open.set()
        for client in clients:
            client.join()
        assert statuses == [200, 200, 200]
        assert ask(address, good).status_code == 200
        assert ask(address, good * 3).status_code == 200
        many = ask(address, good * 4)
        assert many.status_code == 413
        assert error_of(many) == "a request may have up to 3 files here, and this one has 4: send them in several"


def test_a_model_that_does_not_come_to_a_request_is_told_and_the_place_is_free_again() -> None:
    gate = Gate()
    with hearing_with(gate, Limits(queue=1, answer_seconds=0.3)) as address:
        late = ask(address, files(a_wav=audio(speech())))
        assert late.status_code == 503
        assert error_of(late) == "the model did not come to this request within 0.3 s: try again in a moment"
        assert gate.waiting == 0
        gate.open.set()
        assert ask(address, files(a_wav=audio(speech()))).status_code == 200


def test_a_failure_of_the_model_has_no_traceback(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def __init__(self, error: Exception) -> None:
            self.error = error

        async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
            raise self.error

    with hearing_with(Broken(ModelFailure("the model failed at this speech"))) as address:
        found = ask(address, files(a_wav=audio(speech()))).json()["predictions"][0]
        assert found["error"] == "the model failed at this speech; the reason is in the service's log"
    with hearing_with(Broken(ZeroDivisionError("secret"))) as address:
        answer = ask(address, files(a_wav=audio(speech())))
        assert answer.status_code == 500
        assert error_of(answer) == "the service failed; the reason is in its log"
        assert "content-security-policy" in answer.headers
    assert "ZeroDivisionError: secret" in caplog.text


def test_a_request_that_trickles_in_is_ended_however_busy_it_looks() -> None:
    with hearing_with(Gate(), Limits(receive_seconds=0.5)) as address, connected(address) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 900000\r\n\r\n--x\r\nContent-Dis"
        )
        said = b""
        for _ in range(20_000):
            try:
                slow.sendall(b"p")
                said += slow.recv(4096)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if b"must arrive within" in said:
                break
        assert said.startswith(b"HTTP/1.1 408")
        assert b"a request must arrive within 0.5 s, and this one did not" in said


def test_a_head_that_trickles_in_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HEAD_SECONDS", 0.3)
    with hearing_with(Gate()) as address:
        with connected(address) as slow:
            slow.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
            assert is_closed(slow, sending=b"a")
        with connected(address) as silent:
            assert is_closed(silent, sending=b"")
        with connected(address) as again:  # the second request of a connection
            again.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX-Slow: ")
            assert is_closed(again, sending=b"a")


def test_so_many_connections_are_held_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MOST_CONNECTIONS", 3)
    with hearing_with(Gate()) as address:
        held = [connected(address) for _ in range(3)]
        for each in held:
            each.sendall(b"GET / HTTP/1.1\r\n")
        with connected(address) as more:
            assert is_closed(more, sending=b"")
        for each in held:
            each.close()
        soon(lambda: answers(address))


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def connected(address: str) -> socket.socket:
    host, port = address.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=0.02)


def is_closed(connection: socket.socket, *, sending: bytes) -> bool:
    """True when the other side ends the connection, after an answer or without one."""
    for _ in range(5_000):
        try:
            connection.sendall(sending)
            if not connection.recv(64):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def test_places_are_all_or_none() -> None:
    places = bounds.Places(3)
    assert places.take(2)
    assert not places.take(2)
    assert places.taken == 2
    places.give_back(2)
    assert places.take(3)
