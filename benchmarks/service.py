"""A service under load on this machine: fifty clients at once, with batching and without, in the same run.

    python benchmarks/service.py [--model MODEL] [--clients 50] [--requests 20] [--engine torch,onnx]

Each contestant is a `ser serve` of its own. Clients send one file after another; contestants take turns in rounds, so
that whatever else the machine does meets both. Clients and service share the machine's cores. Without --model, a small
convolutional network is trained on the demo corpus first.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
TRAINING = ["--model", "shallow_cnn", "--data", "demo", "--trials", "1", "--max-epochs", "2", "--finalists", "1"]
TRAINING += ["--seeds", "1", "--folds", "1"]
ROUNDS = 5
CLIP_SECONDS = 3.0
RATE_HZ = 16_000


@dataclass(kw_only=True)
class Contestant:
    """A service, and what its clients measured.

    Attributes:
        address: where it answers.
        seconds: from a request to its answer, of every request.
        wall: of all rounds together, s.
    """

    name: str
    address: str
    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0


@contextmanager
def served(model: Path, *options: str) -> Iterator[str]:
    """The address of a `ser serve`."""
    command = [sys.executable, str(REPOSITORY / "search" / "serve.py"), str(model), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.search(r"http://[\d.]+:\d+", line)
        if found is None:
            raise SystemExit(f"the service did not start: {line}")
        yield found[0]
    finally:
        process.terminate()
        process.wait()


def clips(number: int) -> list[bytes]:
    """WAV files of noise that swells as syllables do, all different."""
    found = []
    at = np.arange(round(CLIP_SECONDS * RATE_HZ))
    for seed in range(number):
        noise = np.random.default_rng(seed).normal(size=len(at))
        with io.BytesIO() as file:
            soundfile.write(file, 0.1 * np.abs(np.sin(at / 3_000 + seed)) * noise, RATE_HZ, format="WAV")
            found.append(file.getvalue())
    return found


async def load(contestant: Contestant, files: Sequence[bytes], clients: int, requests: int) -> None:
    """One round: all clients at once, each with one request after another."""
    async with httpx.AsyncClient(
        base_url=contestant.address, timeout=300, limits=httpx.Limits(max_connections=clients)
    ) as session:

        async def client(number: int) -> None:
            for index in range(requests):
                began = time.perf_counter()
                content = files[(number + index) % len(files)]
                answer = await session.post("/predict", files=[("files", ("clip.wav", content))])
                contestant.seconds.append(time.perf_counter() - began)
                answer.raise_for_status()

        began = time.perf_counter()
        await asyncio.gather(*map(client, range(clients)))
        contestant.wall += time.perf_counter() - began


def crops_a_batch(address: str) -> float:
    """The mean of all batches so far."""
    text = httpx.get(f"{address}/metrics").text
    total, number = (
        float(re.findall(rf"^ser_batch_crops_{part} (.+)$", text, re.MULTILINE)[0]) for part in ("sum", "count")
    )
    return total / number


def measured(model: Path, engines: Sequence[str], clients: int, requests: int) -> Table:
    """Every engine with and without batching."""
    table = Table("Service", "Requests/s", "Median, ms", "99th percentile, ms", "Crops a batch")
    table.title = f"{clients} clients at once, {clients * requests * ROUNDS:,} requests of {CLIP_SECONDS:g} s each"
    files = clips(20)
    with ExitStack() as services:
        contestants = []
        for engine in engines:
            for name, options in (("batching", []), ("no batching", ["--max-batch", "1"])):
                address = services.enter_context(served(model, "--engine", engine, *options))
                contestants.append(Contestant(name=f"{engine}, {name}", address=address))
        for contestant in contestants:
            asyncio.run(load(contestant, files, 4, 2))  # whatever is loaded at the first request
            contestant.seconds.clear()
            contestant.wall = 0.0
        for _ in range(ROUNDS):
            for contestant in contestants:
                asyncio.run(load(contestant, files, clients, requests))
        for one in contestants:
            median, late = (1e3 * np.percentile(one.seconds, share) for share in (50, 99))
            rate = len(one.seconds) / one.wall
            table.add_row(one.name, f"{rate:.0f}", f"{median:.0f}", f"{late:.0f}", f"{crops_a_batch(one.address):.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="as `ser serve` takes it (default: trained for the purpose)")
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--requests", type=int, default=20, help=f"of each client in each of {ROUNDS} rounds")
    parser.add_argument("--engine", default="torch", help="torch, onnx or both with a comma (default: torch)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = arguments.model
        if model is None:
            model = Path(folder) / "run"
            command = [sys.executable, str(REPOSITORY / "search" / "run.py"), *TRAINING, "--run-dir", str(model)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        Console().print(measured(model, arguments.engine.split(","), arguments.clients, arguments.requests))


if __name__ == "__main__":
    main()
