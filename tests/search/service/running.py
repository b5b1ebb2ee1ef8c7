"""A service that answers on the loopback address, in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from search.service.app import create_app
from search.service.asked import Asked
from search.service.facts import ModelFacts, Origin
from search.service.limits import Limits
from search.service.metrics import Metrics
from search.service.server import application, server_of
from search.service.service import Service
from ser_core.architectures import default_config
from ser_core.artifact import save_model
from ser_core.named_scores import UAR
from ser_core.splits import Fold
from ser_core.targets import Dimensions, Emotions
from ser_core.training.run import train
from tests.ser_core.test_artifact import store_of

FINISHED = Path(__file__).parents[2] / "data" / "run-of-0.1" / "finished"
"""A run whose model is small: three emotions, 3 s at 16 kHz."""
RATE_HZ = 16_000
CLASSES = ("happy", "sad")
TOY = {"corpus": {"name": "toy", "licence": "none", "clips": 18, "speakers": 3}}


@contextmanager
def listening(app: Any, limits: Limits | None = None) -> Iterator[str]:
    """The address at which `app` answers until the block ends."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        server = server_of(app, limits or Limits())
        thread = threading.Thread(target=server.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{place.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def serving(model: Path = FINISHED, **asked: Any) -> Iterator[str]:
    """The address of a service of a model folder."""
    with application(Asked(model=model, **asked)) as app, listening(app, asked.get("limits")) as address:
        yield address


def service_of(hearing: Any, limits: Limits | None = None) -> Service:
    """A service with another hearing than a model's."""
    origin = Origin(
        name="test", measure=UAR, score="–", interval="–", tested="", tuned="", corpus="", licence="", caveats=()
    )
    facts = ModelFacts(
        target=Emotions(CLASSES), spans=(), sample_rate_hz=RATE_HZ, clip_seconds=1.0, engine="test", origin=origin
    )
    return Service(hearing=hearing, model=facts, limits=limits or Limits(), metrics=Metrics(), healthy=lambda: True)


@contextmanager
def hearing_with(hearing: Any, limits: Limits | None = None) -> Iterator[str]:
    """The address of such a service."""
    with listening(create_app(service_of(hearing, limits)), limits) as address:
        yield address


def save_rating_model(folder: Path, about: Mapping[str, Any] = TOY) -> Path:
    """A small model that rates arousal around 3 and valence around 50, trained on a few noisy tones."""
    settings = {"optim.epochs": 2, "optim.batch_size": 4, "features.clip_seconds": 0.6, "features.hop_ms": 20.0}
    config = default_config("shallow_cnn", {**settings, "model.width": 2, "precision": "fp32"})
    at = np.arange(18)
    truth = np.stack([2.0 + at % 3, 50 + 10 * np.cos(at)], axis=1)
    store = replace(store_of(config), truth=truth, target=Dimensions(("arousal", "valence")))
    run = train(config, Fold(fit=np.arange(12), evaluate=np.arange(12, 18)), store, device="cpu")
    list(run)
    save_model(folder, run, about=dict(about))
    return folder


def speech(seconds: float = 0.5, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    """(samples,) float32: a tone that glides and swells, with noise."""
    at = np.arange(round(seconds * rate_hz)) / rate_hz
    tone = np.sin(2 * np.pi * (150 + 40 * seed + 60 * np.sin(3 * at)) * at) * np.abs(np.sin(2 * at + 0.3))
    return (0.3 * tone + 0.01 * np.random.default_rng(seed).normal(size=len(at))).astype(np.float32)
