"""What Prometheus is told: requests, latencies, batch sizes, what waits."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CROPS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """The service's numbers; each of its methods may be called from any thread."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter("ser_requests", "Requests answered.", ["path", "status"], registry=registry)
        self._seconds = Histogram(
            "ser_request_seconds", "From a request's head to its answer.", ["path"], buckets=SECONDS, registry=registry
        )
        self._files = Counter(
            "ser_files",
            "Files predicted, refused as no usable speech, or failed in the model.",
            ["outcome"],
            registry=registry,
        )
        self._batch = Histogram(
            "ser_batch_crops", "Crops that the model heard at once.", buckets=CROPS, registry=registry
        )
        self._batch_seconds = Histogram(
            "ser_batch_seconds", "What the model took for a batch.", buckets=SECONDS, registry=registry
        )
        self._failures = Counter("ser_model_failures", "Crops at which the model failed.", registry=registry)

    def watch(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """A number that is asked for when somebody looks."""
        Gauge(name, meaning, registry=self._registry).set_function(value)

    def request(self, path: str, status: int, seconds: float) -> None:
        """One answer."""
        self._requests.labels(path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def file(self, outcome: str) -> None:
        """One uploaded file: "predicted", "refused", or "failed" where the model did."""
        self._files.labels(outcome).inc()

    def batch(self, crops: int, seconds: float, failures: int) -> None:
        """One call of the model."""
        self._batch.observe(crops)
        self._batch_seconds.observe(seconds)
        self._failures.inc(failures)

    def text(self) -> bytes:
        """All of it, in Prometheus' own format."""
        return generate_latest(self._registry)
