"""Streams over a WebSocket say what `ser predict --stream` says, and are ended in words."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

import ser_core
from search.service import streams
from search.service.limits import MOST_MESSAGE_BYTES, Limits
from ser_core.batches import ROUNDING
from ser_core.predict import Form, Printer, predict_stream
from tests.search.service.running import FINISHED, RATE_HZ, hearing_with, serving, speech


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving() as found:
        yield found


def opened(address: str, query: str = "", **settings: Any) -> ClientConnection:
    return connect(f"{address.replace('http', 'ws')}/stream{query}", open_timeout=60, close_timeout=60, **settings)


def said(stream: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Every answer until the stream is closed, and the code with which it is."""
    found = []
    with suppress(ConnectionClosed):
        while True:
            found.append(json.loads(stream.recv(timeout=60)))
    assert stream.close_code is not None
    return found, stream.close_code


def expected(samples: np.ndarray, rate_hz: int, hop: float) -> list[dict[str, Any]]:
    """What the command prints for the same samples."""
    out = io.StringIO()
    predictor = ser_core.load(FINISHED / "final")
    step = round(hop * rate_hz)
    blocks = [samples[start : start + step] for start in range(0, len(samples), step)]
    list(predict_stream(predictor, blocks, rate_hz, Printer(Form.JSON, predictor.target, "seconds", out)))
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(("kind", "rate_hz"), [("int16", 16_000), ("float32", 44_100)])
def test_it_says_what_the_command_says(address: str, kind: str, rate_hz: int) -> None:
    samples = np.concatenate([speech(2.3, rate_hz=rate_hz), np.zeros(4 * rate_hz, np.float32)])
    whole = np.round(samples * 32_768).astype("<i2")
    if kind == "int16":
        samples, data = whole.astype(np.float32) / 32_768, whole.tobytes()
    else:
        data = samples.astype("<f4").tobytes()
    with opened(address, f"?rate={rate_hz}&format={kind}&hop=0.4") as stream:
        for start in range(0, len(data), 9_000):  # pieces of any length
            stream.send(data[start : start + 9_000])
        stream.send("end")
        found, code = said(stream)
    assert code == 1000
    wanted = expected(samples, rate_hz, 0.4)
    assert [each["seconds"] for each in found] == [each["seconds"] for each in wanted]
    assert found[-1] == {"seconds": found[-1]["seconds"], "emotion": None, "probabilities": {}}  # silent by then
    for one, other in zip(found, wanted, strict=True):
        assert one["emotion"] == other["emotion"]
        values = [list(each["probabilities"].values()) for each in (one, other)]
        np.testing.assert_allclose(*values, rtol=0, atol=2 * ROUNDING)


@pytest.mark.parametrize(
    ("query", "sent", "code", "words"),
    [
        ("?rate=10", None, 1008, "rate must be from 1,000 to 192,000 Hz; got 10"),
        ("?rate=fast", None, 1008, "rate must be a whole number of Hz and hop a number of seconds; got 'fast'"),
        ("?hop=nan", None, 1008, "hop must be from 0.05 to 10 s; got nan"),
        ("?format=mp3", None, 1008, "format must be int16 or float32; got 'mp3'"),
        ("", b"abc", 1008, "a message must hold whole int16 samples; got 3 bytes"),
        ("?format=float32", np.float32(np.nan).tobytes(), 1008, "samples must be finite"),
        ("", "hello", 1008, "the text 'end' when it is over"),
    ],
)
def test_what_is_no_stream_is_ended_in_words(
    address: str, query: str, sent: bytes | str | None, code: int, words: str
) -> None:
    with opened(address, query) as stream:
        if sent is not None:
            stream.send(sent)
        (answer,), found = said(stream)
    assert found == code
    assert words in answer["error"]


def test_a_message_that_is_too_large_ends_the_stream(address: str) -> None:
    with opened(address) as stream:
        stream.send(bytes(MOST_MESSAGE_BYTES + 2))
        _, code = said(stream)
    assert code == 1009


def test_pages_of_other_sites_open_no_stream(address: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(address, origin="http://evil.example")  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


class Never:
    """A hearing that never answers."""

    async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
        await asyncio.sleep(3_600)
        raise AssertionError


def test_so_many_streams_are_open_and_no_more() -> None:
    with hearing_with(Never(), Limits(streams=1)) as address:
        with opened(address), pytest.raises(InvalidStatus) as refused:
            opened(address)
        assert refused.value.response.status_code == 503
        assert b"as many streams are open as may be" in refused.value.response.body
        with opened(address) as stream:  # the first has left its place
            stream.send("end")
            assert said(stream) == ([], 1000)


def test_a_model_that_does_not_answer_and_a_client_that_does_not_send_end_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "STREAM_IDLE_SECONDS", 0.2)
    with hearing_with(Never(), Limits(answer_seconds=0.2)) as address:
        with opened(address) as stream:
            stream.send((32_767 * speech(1.0)).astype("<i2").tobytes())
            (answer,), code = said(stream)
        assert (code, answer["error"]) == (
            1011,
            "the model did not come to this stream in time: open it again in a moment",
        )
        with opened(address) as stream:
            (answer,), code = said(stream)
        assert (code, answer["error"]) == (1008, "nothing came for 0.2 s: open another stream")


def test_the_end_of_a_stream_that_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_STREAM_SECONDS", 2)

    class Quick:
        async def probabilities(self, samples: np.ndarray, *, one_crop: bool = False) -> np.ndarray:
            return np.array([0.5, 0.5], dtype=np.float32)

    with hearing_with(Quick()) as address, opened(address) as stream:
        stream.send((32_767 * speech(2.5)).astype("<i2").tobytes())
        *_, last = said(stream)[0]
        assert last["error"] == "a stream may have up to 2 s: open another one"


def test_a_window_is_that_of_the_model_and_memory_is_bounded() -> None:
    windows = streams.Windows(streams.StreamRequest(rate=RATE_HZ, format=streams.PcmFormat.INT16, hop=0.5), 1.0)
    found = list(windows.after(speech(30.3)))
    assert len(found) == 60
    assert max(len(window) for _, window in found if window is not None) == RATE_HZ
    assert [seconds for seconds, _ in windows.rest()] == [30.3]
