"""What the service accepts, and the words with which it refuses the rest.

Every bound is on memory or time, so that a request costs what it may cost, whoever sends it. Speech that waits takes at
most `queue * file_seconds` seconds of samples, 4 bytes each: with the defaults and 16 kHz, 0.5 GB.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from http import HTTPStatus

from ser_core.config import ConfigError
from ser_core.errors import UserError

HEAD_SECONDS = 10.0
"""For the head of a request to arrive."""
MOST_CONNECTIONS = 1_000
"""At a time, each with some kilobytes of buffers; further ones are closed."""
MOST_FILES = 16
"""In one request."""
MOST_RATE_HZ = 192_000
"""Of an uploaded file or a stream: four times the memory of 48 kHz."""
MOST_MESSAGE_BYTES = 1 << 20
"""Of a stream: 5 s at 48 kHz in float32."""
STREAM_IDLE_SECONDS = 60.0
"""A stream that sends nothing for so long is ended."""
MOST_STREAM_SECONDS = 4 * 3_600
"""Of speech in one stream."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an operator may set.

    Attributes:
        request_mib: size of a request, MiB.
        file_seconds: speech in one file, s.
        queue: files that are read or wait for the model.
        streams: at a time.
        receive_seconds: for a whole request to arrive, s.
        answer_seconds: from the arrival of a request to its answer, s.
    """

    request_mib: int = 32
    file_seconds: int = 120
    queue: int = 64
    streams: int = 32
    receive_seconds: float = 30.0
    answer_seconds: float = 60.0

    def __post_init__(self) -> None:
        wrong = [f"{each.name} = {value}" for each in fields(self) if (value := getattr(self, each.name)) <= 0]
        if wrong:
            raise ConfigError(f"limits must be above 0; got {', '.join(wrong)}")


class Refusal(UserError):
    """A request that is not served: the message is for whoever sent it.

    Attributes:
        status: the answer's.
        retry: it may be sent again in a second.
    """

    def __init__(self, status: HTTPStatus, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.status, self.retry = status, retry


def too_large(limits: Limits) -> Refusal:
    """A request with more bytes than it may have."""
    return Refusal(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a request may have up to {limits.request_mib} MiB, and this one has more: send fewer or shorter files",
    )


def too_slow(limits: Limits) -> Refusal:
    """A request that did not arrive in time."""
    return Refusal(
        HTTPStatus.REQUEST_TIMEOUT,
        f"a request must arrive within {limits.receive_seconds:g} s, and this one did not: send fewer or shorter files",
    )


def too_many(limits: Limits) -> Refusal:
    """No place in the queue."""
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"{limits.queue} files wait already, which is the most: try again in a moment",
        retry=True,
    )


def too_late(limits: Limits) -> Refusal:
    """No answer in time."""
    return Refusal(
        HTTPStatus.SERVICE_UNAVAILABLE,
        f"the model did not come to this request within {limits.answer_seconds:g} s: try again in a moment",
        retry=True,
    )


class Places:
    """So many things at a time, counted in one thread."""

    def __init__(self, number: int) -> None:
        self._free = self._all = number

    @property
    def taken(self) -> int:
        return self._all - self._free

    def take(self, number: int) -> bool:
        """Have `number` places, or none where there are not enough."""
        if number > self._free:
            return False
        self._free -= number
        return True

    def give_back(self, number: int) -> None:
        self._free += number
