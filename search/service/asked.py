"""What a service is started with, before anything heavy is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path

from search.service.limits import Limits
from ser_core.config import ConfigError
from ser_core.errors import UserError

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8080
MOST_CROPS, WINDOW_MS = 8, 4.0
"""On two CPU cores 8 crops at once served 50 clients best; with 32 few batches were full, and the slowest answers took
several times as long (docs/serve.md)."""
NEEDED = ("fastapi", "uvicorn", "websockets", "python_multipart", "prometheus_client")
"""Modules of the extra `serve`."""


class ServiceError(UserError):
    """The service cannot be started; the message says why and what to do."""


class Engine(StrEnum):
    """What the model runs in."""

    TORCH = "torch"
    ONNX = "onnx"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a service is started with.

    Attributes:
        model: as `ser predict` takes it.
        port: 0 takes a free one.
        max_batch: crops that the model hears at once; 1 is without batching.
        batch_window_ms: how long a crop waits for others where nobody waited before it, ms.
    """

    model: Path
    engine: Engine = Engine.TORCH
    device: str = "cpu"
    host: str = LOOPBACK
    port: int = DEFAULT_PORT
    max_batch: int = MOST_CROPS
    batch_window_ms: float = WINDOW_MS
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        if self.max_batch < 1 or self.batch_window_ms < 0:
            raise ConfigError(
                f"--max-batch must be at least 1 and --batch-window-ms at least 0; got {self.max_batch} and "
                f"{self.batch_window_ms:g}"
            )


def check_installed() -> None:
    """Refuse to start without the packages of the extra.

    Raises:
        ServiceError: they are missing.
    """
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ServiceError(f"the service needs {', '.join(missing)}: pip install 'ser-search[serve]'")
