"""The same application under Ray Serve: what it answers, and that a dead replica loses nobody's answer."""

from __future__ import annotations

import asyncio
import inspect
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import numpy as np
import pytest
import ray
from pydantic import ValidationError
from ray.exceptions import RayActorError, RayTaskError
from websockets.sync.client import connect

import ser_core
from search.service.batching import ModelFailure
from ser_core.batches import ROUNDING
from ser_core.predict import speech_probabilities
from tests.search.service.running import FINISHED, RATE_HZ, hearing_with, listening, speech
from tests.search.service.test_app import audio, read

serve = pytest.importorskip("ray.serve", reason="the extra ray-serve is not installed")

from search.service.on_ray import TRIES, Settings, _Replicas, app  # noqa: E402 (needs ray.serve)

REPOSITORY = Path(__file__).parents[3]
PATIENCE = 240.0


def test_settings_are_checked_before_anything_is_started() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Settings.model_validate({"model": FINISHED, "replica": 2})
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        Settings.model_validate({"model": FINISHED, "replicas": "0"})
    settings = Settings.model_validate({"model": str(FINISHED), "queue": "9", "max_mib": "3", "engine": "onnx"})
    assert Settings.model_validate({"model": "."}).model == Path.cwd()
    assert inspect.signature(app).parameters["settings"].annotation is Settings  # by which `serve run` reads them
    assert (settings.limits.queue, settings.limits.request_mib, settings.limits.streams) == (9, 3, 32)


def test_fronts_and_replicas_answer_as_the_service_of_one_process_does() -> None:
    """With Ray Serve's own stand-in for a cluster, which runs deployments in this process."""
    front = serve.run(app(Settings(model=FINISHED)), name="here", _local_testing_mode=True)
    built = front.__getattr__("__serve_build_asgi_app__").remote().result()
    content = audio(speech(1.0), subtype="FLOAT")
    with listening(built) as address:
        answer = httpx.post(f"{address}/predict", files=[("files", ("a.wav", content))], timeout=PATIENCE)
        assert answer.status_code == 200
        expected = speech_probabilities(ser_core.load(FINISHED / "final"), read(content, "a.wav"))
        found = list(answer.json()["predictions"][0]["probabilities"].values())
        np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
        assert "mlp on demo" in httpx.get(address).text


class Mortal:
    """A handle whose replicas die at the first so many clips."""

    def __init__(self, deaths: int) -> None:
        self.left, self.probabilities = deaths, self

    async def remote(self, samples: np.ndarray, one_crop: bool) -> np.ndarray:
        self.left -= 1
        if self.left >= 0:
            raise RayActorError
        return samples[:2]


@pytest.mark.parametrize("deaths", range(TRIES))
def test_a_clip_is_asked_for_again_when_its_replica_dies(deaths: int) -> None:
    found = asyncio.run(_Replicas(Mortal(deaths)).probabilities(speech()))  # type: ignore[arg-type]
    np.testing.assert_array_equal(found, speech()[:2])


def test_a_clip_at_which_every_replica_dies_is_given_up() -> None:
    with pytest.raises(ModelFailure, match="3 replicas of the model died at this speech"):
        asyncio.run(_Replicas(Mortal(TRIES)).probabilities(speech()))  # type: ignore[arg-type]


class Failing:
    """A handle whose replica raises; what it raises arrives as Ray wraps it."""

    def __init__(self, error: Exception) -> None:
        self.probabilities = self
        self.wrapped = RayTaskError("probabilities", "Traceback (most recent call last): secret", error)

    async def remote(self, samples: np.ndarray, one_crop: bool) -> np.ndarray:
        raise self.wrapped.as_instanceof_cause()


def test_a_failure_of_the_model_carries_no_traceback_of_its_replica() -> None:
    failing = Failing(ModelFailure("the model failed at this speech"))
    with pytest.raises(ModelFailure) as caught:
        asyncio.run(_Replicas(failing).probabilities(speech()))  # type: ignore[arg-type]
    assert str(caught.value) == "the model failed at this speech"
    with pytest.raises(ZeroDivisionError):
        asyncio.run(_Replicas(Failing(ZeroDivisionError())).probabilities(speech()))  # type: ignore[arg-type]
    content = audio(speech())
    with hearing_with(_Replicas(failing)) as address:  # type: ignore[arg-type]
        answer = httpx.post(f"{address}/predict", files=[("files", ("a.wav", content))], timeout=PATIENCE)
    assert answer.json()["predictions"][0]["error"] == (
        "the model failed at this speech; the reason is in the service's log"
    )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two replicas of the model behind a front, on a Ray of their own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"env_vars": {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}}
    ray.init(
        address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR",
        runtime_env=environment,
    )  # fmt: skip
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app(Settings(model=FINISHED, replicas=2, answer_seconds=PATIENCE)), name="ser")
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
    finally:
        ray.shutdown()


def replicas() -> list[str]:
    """The names of the actors that hold the model."""
    actors = ray.util.list_named_actors(all_namespaces=True)
    return [actor["name"] for actor in actors if actor["name"].startswith("SERVE_REPLICA::ser#model#")]


@pytest.mark.slow
def test_it_answers_as_the_service_of_one_process_does(address: str) -> None:
    content = audio(speech(1.0), subtype="FLOAT")
    answer = httpx.post(f"{address}/predict", files=[("files", ("a.wav", content))], timeout=PATIENCE)
    assert answer.status_code == 200
    expected = speech_probabilities(ser_core.load(FINISHED / "final"), read(content, "a.wav"))
    found = list(answer.json()["predictions"][0]["probabilities"].values())
    np.testing.assert_allclose(found, expected, rtol=0, atol=ROUNDING)
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}
    assert "default-src 'none'" in httpx.get(address).headers["content-security-policy"]
    assert "ser_files_total" in httpx.get(f"{address}/metrics").text
    too_large = httpx.post(f"{address}/predict", files=[("files", ("a.wav", bytes(33 << 20)))], timeout=PATIENCE)
    assert too_large.status_code == 413
    with connect(f"{address.replace('http', 'ws')}/stream?rate={RATE_HZ}&hop=0.5", open_timeout=60) as stream:
        stream.send((32_767 * speech(1.2)).astype("<i2").tobytes())
        stream.send("end")
        assert [json.loads(message)["seconds"] for message in stream] == [0.5, 1.0, 1.2]


@pytest.mark.slow
def test_nothing_is_lost_when_a_replica_is_killed(address: str) -> None:
    """Fifty clients, each of whom sends one file after another; no answer may be missing, wrong or an error."""
    content = [audio(speech(0.3 + 0.1 * n, seed=n)) for n in range(5)]
    predictor = ser_core.load(FINISHED / "final")
    expected = [speech_probabilities(predictor, read(each, "a.wav")) for each in content]
    wrong: list[str] = []
    answered = [0] * 50
    stop = threading.Event()

    def client(number: int) -> None:
        with httpx.Client(timeout=PATIENCE) as session:
            while not stop.is_set():
                kind = (number + answered[number]) % 5
                answer = session.post(f"{address}/predict", files=[("files", ("a.wav", content[kind]))])
                if answer.status_code != 200:
                    wrong.append(answer.text)
                    continue
                found = list(answer.json()["predictions"][0].get("probabilities", {}).values())
                if len(found) != 3 or np.abs(np.array(found) - expected[kind]).max() > 2 * ROUNDING:
                    wrong.append(answer.text)
                answered[number] += 1

    clients = [threading.Thread(target=client, args=(number,)) for number in range(50)]
    for each in clients:
        each.start()
    try:
        before = replicas()
        assert len(before) == 2
        for victim in before:  # one after the other, each while all clients ask
            more_answers(answered)
            ray.kill(ray.get_actor(victim, namespace="serve"), no_restart=True)
            wait_for(lambda victim=victim: victim not in replicas() and len(replicas()) == 2)
        more_answers(answered)
    finally:
        stop.set()
        for each in clients:
            each.join()
    assert wrong == []
    assert min(answered) > 0
    assert not set(before) & set(replicas())


def more_answers(answered: Sequence[int]) -> None:
    """Wait until so many clients more have been answered."""
    seen = sum(answered)
    wait_for(lambda: sum(answered) > seen + 50)


def wait_for(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.05)
