"""Run folders for the tests of figures and pages, written with the real RecordWriter."""

from __future__ import annotations

import json
import math
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from playwright.sync_api import Browser, Page, sync_playwright
from sqlalchemy import create_engine, make_url, text

from search.finals.insight import count_parts, draw_pictures, picture_rows
from search.finals.test_scores import score_test
from search.run_folder.predictions import PREDICTIONS_FILE, Predictions, prediction_table, write_table
from search.run_folder.records import RecordWriter, report_fields
from search.run_folder.run_view import INSIGHT_FILE
from search.study.asha import Asha
from ser_core.artifact import Predictor
from ser_core.clips import Clip, Manifest
from ser_core.features.device_clips import normalisation_of
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, extractor
from ser_core.metrics.scores import seed_interval
from ser_core.models import build_model, default_config
from ser_core.splits import PARTS, make_split
from ser_core.training.report import EpochReport
from ser_core.training.seeding import seeded
from ser_core.whole_file import defined

CLASSES = ["neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"]
SPACE: dict[str, dict[str, Any]] = {
    "optim.learning_rate": {"type": "float", "low": 1e-5, "high": 1e-2, "log": True, "when": None},
    "optim.batch_size": {"type": "choice", "values": [16, 32, 64], "when": None},
    "optim.weight_decay": {"type": "float", "low": 1e-6, "high": 1e-1, "log": True, "when": None},
    "model.dropout": {"type": "float", "low": 0.0, "high": 0.6, "log": False, "when": None},
    "model.width": {"type": "int", "low": 16, "high": 64, "step": 8, "log": False, "when": None},
    "augment.kind": {"type": "choice", "values": ["none", "specaugment"], "when": None},
    "augment.time_masks": {
        "type": "int",
        "low": 1,
        "high": 4,
        "step": 1,
        "log": False,
        "when": {"name": "augment.kind", "values": ["specaugment"]},
    },
}
PUBLISHED = {"optim.learning_rate": 5e-5, "optim.batch_size": 32, "model.dropout": 0.1}


class RunMaker:
    """Writes a run as the search would have: plan, records, and result when `finish` is called."""

    def __init__(self, folder: Path, *, max_epochs: int = 30, trials: int = 40, **plan: Any) -> None:
        self.folder, self.max_epochs, self.trials = folder, max_epochs, trials
        self.rng = random.Random(7)
        self.asha = Asha(max_epochs=max_epochs, grace_epochs=max(1, max_epochs // 5), reduction=3)
        folder.mkdir(parents=True, exist_ok=True)
        self.plan: dict[str, Any] = {
            "model": "ast",
            "data": "corpus",
            "split": "speaker",
            "corpus": {
                "name": "ravdess",
                "clips": 1440,
                "speakers": 24,
                "classes": CLASSES,
                "skipped": [],
                "synthetic": False,
                "licence": "CC BY-NC-SA 4.0",
                "citation": "Livingstone & Russo 2018",
            },
            "speaker_independent": True,
            "synthetic": False,
            "max_epochs": max_epochs,
            "grace_epochs": self.asha.grace_epochs,
            "reduction": 3,
            "finalists": 3,
            "seeds": 3,
            "space": SPACE,
            "first": [PUBLISHED],
            "fixed": {"optim.epochs": max_epochs},
            "limits": {"trials": trials, "concurrency": 2},
            "command": "python search/run.py --model ast --data corpus",
            "versions": {"python": "3.11", "torch": "2.11.0"},
            **plan,
        }
        (folder / "plan.json").write_text(json.dumps(self.plan))
        self.now = 1_700_000_000.0
        self.writer = RecordWriter(folder / "records.jsonl", clock=lambda: self.now)
        self.writer.write("session")
        self.free = [self.now + 2.0, self.now + 2.5]

    def params(self, number: int) -> dict[str, Any]:
        r = self.rng
        params: dict[str, Any] = {
            "optim.learning_rate": 10 ** r.uniform(-5, -2),
            "optim.batch_size": r.choice([16, 32, 64]),
            "optim.weight_decay": 10 ** r.uniform(-6, -1),
            "model.dropout": r.uniform(0, 0.6),
            "model.width": r.randrange(16, 65, 8),
            "augment.kind": r.choice(["none", "specaugment"]),
        }
        if number == 0:
            params |= PUBLISHED
        if params["augment.kind"] == "specaugment":
            params["augment.time_masks"] = r.randint(1, 4)
        return params

    def start(self, number: int, params: dict[str, Any] | None = None) -> dict[str, Any]:
        params = params or self.params(number)
        self.writer.write("trial_start", trial=number, params=params, origin="sampler" if number else "first")
        return params

    def epochs(self, number: int, uars: list[float], *, worker: str = "node-a/101", seconds: float = 2.0) -> None:
        done = len(self.writer.records.trials[number].epochs)
        reports = [report_fields(report(done + i, uar, seconds)) for i, uar in enumerate(uars, start=1)]
        self.writer.write(
            "epochs", trial=number, worker=worker, setup_seconds=0.1 if not done else 0.0, reports=reports
        )

    def end(self, number: int, state: str, reason: str = "") -> None:
        self.writer.write("trial_end", trial=number, state=state, reason=reason)

    def search(self, trials: int | None = None, *, fail_every: int = 17) -> RunMaker:
        """Trials with learning curves that depend on the parameters, stopped by real ASHA."""
        for number in range(self.trials if trials is None else trials):
            slot = min(range(len(self.free)), key=self.free.__getitem__)
            self.now = self.free[slot]
            params = self.start(number)
            worker = f"node-a/{101 + slot}"
            uars, state, reason = self._train(number, params, fail_every)
            seconds = 1.6 + params["model.width"] / 40
            self.now += 0.2 + len(uars) * seconds
            if uars:
                self.epochs(number, uars, worker=worker, seconds=seconds)
            self.end(number, state, reason)
            self.free[slot] = self.now + 0.3
        self.now = max(self.free)
        return self

    def _train(self, number: int, params: dict[str, Any], fail_every: int) -> tuple[list[float], str, str]:
        if fail_every and number % fail_every == fail_every - 1:
            broken = ["diverged: training loss is nan", "out of memory: 512 MiB wanted on cuda:0"][
                number // fail_every % 2
            ]
            return [0.2] * (number % 3), "FAIL", f"{broken}, trial {number}"
        top = (
            0.72
            - 0.12 * abs(math.log10(params["optim.learning_rate"]) + 3.3)
            - 0.25 * abs(params["model.dropout"] - 0.25)
        )
        top += 0.04 * (params["augment.kind"] == "specaugment") + self.rng.gauss(0, 0.02)
        uars: list[float] = []
        for epoch in range(1, self.max_epochs + 1):
            grown = 0.125 + (max(top, 0.2) - 0.125) * (1 - math.exp(-5 * epoch / self.max_epochs))
            uars.append(min(1.0, max(0.0, grown + self.rng.gauss(0, 0.015))))
            if self.asha.stops(number, epoch, max(uars)):
                return uars, "PRUNED", f"rung {epoch}"
        return uars, "COMPLETE", ""

    def finals(self) -> list[dict[str, Any]]:
        """Finalists over seeds in the records; what result.json says on them."""
        complete = [t for t in self.writer.records.trials.values() if t.state == "COMPLETE"]
        finalists = []
        for trial in sorted(complete, key=lambda t: -t.value)[:3]:
            scores = []
            for seed in (11, 12, 13):
                self.writer.write("final_start", phase="finalist", trial=trial.number, seed=seed)
                scores.append(trial.value - 0.03 + self.rng.gauss(0, 0.018))
                self._train_final("finalist", trial.number, seed, scores[-1])
            interval = seed_interval(scores)
            val_uar = {**spread(scores), "interval": [interval.low, interval.high]}
            finalists.append({"trial": trial.number, "params": dict(trial.params), "val_uar": val_uar})
        return finalists

    def _train_final(self, phase: str, trial: int, seed: int, best: float) -> None:
        """The epochs of one run of the finals, of which the last but one has the `best` score; NaN in a refit."""
        self.now += 30
        reports = []
        for epoch in range(1, self.max_epochs + 1):
            grown = 1 - math.exp(-5 * epoch / max(1, self.max_epochs - 1))
            uar = best if epoch == max(1, self.max_epochs - 1) else 0.125 + (best - 0.125) * grown - 0.02
            losses = {"train_loss": 2.0 - 1.2 * grown, "val_loss": math.nan if math.isnan(best) else 2.1 - 0.8 * grown}
            reports.append(report_fields(replace(report(epoch, uar, 30.0 / self.max_epochs), **losses)))
        self.writer.write("final_epochs", phase=phase, trial=trial, seed=seed, reports=reports)
        self.writer.write("final_end", phase=phase, trial=trial, seed=seed, reason="")

    def finish(self, **test: Any) -> RunMaker:
        """Finals, result.json and insight.json; `test` replaces what the result says on the test."""
        finalists = self.finals()
        winner = max(finalists, key=lambda finalist: finalist["val_uar"]["mean"])
        for seed in (11, 12, 13):
            self.writer.write("final_start", phase="refit", trial=winner["trial"], seed=seed)
            self._train_final("refit", winner["trial"], seed, math.nan)
        trials = list(self.writer.records.trials.values())
        best = max((t for t in trials if t.state != "FAIL"), key=lambda t: t.value)
        result = {
            "model": self.plan["model"],
            "corpus": self.plan["corpus"],
            "split": {
                "kind": self.plan["split"],
                "speaker_independent": self.plan["speaker_independent"],
                "test_speakers": self.plan.get("speakers", {}).get("test", []),
                "inner_folds": [],
            },
            "transductive": False,
            "warm_start": self.plan.get("warm_start"),
            "search": {
                "trials": {s: sum(t.state == w for t in trials) for s, w in STATES.items()},
                "wall_seconds": self.now - 1_700_000_000.0,
                "overhead_seconds_per_trial": 0.12,
                "best": {"trial": best.number, "params": dict(best.params), "val_uar": best.value},
            },
            "finalists": finalists,
            "winner": {
                "trial": winner["trial"],
                "params": winner["params"],
                "fixed": {},
                "models": [f"final/trial-{winner['trial']:05d}-seed-{seed}" for seed in (1, 2, 3)],
            },
            "test": {**json.loads(test_scores(tuple(self.plan["corpus"]["classes"]))), **test},
            "test_reads": 1,
            "versions": self.plan["versions"],
            "command": self.plan["command"],
        }
        (self.folder / "result.json").write_text(json.dumps(result))
        (self.folder / INSIGHT_FILE).write_text(insight_of(tuple(self.plan["corpus"]["classes"])))
        return self

    def predict(self, skill: float, *, seed: int = 0, speakers: int = 6, seeds: int = 3) -> RunMaker:
        """Predictions of test clips that are right with a chance of `skill`, and what result.json says of them.

        Speakers are recognised better or worse, by all models alike; `seed` decides what the model has right.
        """
        classes, rng = tuple(self.plan["corpus"]["classes"]), np.random.default_rng(seed)
        labels = np.tile(np.arange(len(classes)), 5 * speakers)
        names = np.repeat([f"{number:02d}" for number in range(1, speakers + 1)], 5 * len(classes))
        chance = skill + np.random.default_rng(0).uniform(-0.1, 0.1, speakers)[names.astype(int) - 1]
        right = rng.random((seeds, len(labels))) < chance
        told = np.where(right, labels, (labels + rng.integers(1, len(classes), right.shape)) % len(classes))
        test = Predictions(
            classes=classes,
            clip_ids=tuple(f"clip-{row:03d}" for row in range(len(labels))),
            labels=labels,
            probabilities=0.1 / len(classes) + 0.9 * np.eye(len(classes))[told],
            speakers=names,
            genders=np.where(names.astype(int) % 2, "male", "female"),
        )
        tables = [
            prediction_table(
                clip_ids=test.clip_ids,
                labels=labels,
                probabilities=own,
                classes=classes,
                facts={"speaker": names, "gender": test.genders, "seed": number},
            )
            for number, own in enumerate(test.probabilities, 1)
        ]
        write_table(self.folder / PREDICTIONS_FILE, pd.concat(tables))
        result = json.loads((self.folder / "result.json").read_text())
        (self.folder / "result.json").write_text(json.dumps({**result, "test": defined(score_test(test))}))
        return self


STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}


def report(epoch: int, val_uar: float, seconds: float) -> EpochReport:
    return EpochReport(
        epoch=epoch, train_loss=1.0, val_loss=1.2, val_uar=val_uar, val_war=val_uar, learning_rate=1e-3, seconds=seconds
    )


def spread(values: list[float]) -> dict[str, Any]:
    mean = sum(values) / len(values)
    std = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0
    return {"mean": mean, "std": std, "seeds": values}


@cache
def test_scores(classes: tuple[str, ...]) -> str:
    """What result.json says on the test, as JSON: three seeds on six speakers, some of whom are recognised better."""
    rng = np.random.default_rng(7)
    labels = np.tile(np.arange(len(classes)), 30)
    names = np.repeat([str(number) for number in range(19, 25)], 5 * len(classes))
    skill = dict(zip(np.unique(names), (0.7, 1.1, 1.4, 1.7, 2.0, 2.6), strict=True))
    told = np.eye(len(classes))[labels] * np.array([skill[name] for name in names])[:, None]
    logits = 2 * (told + rng.normal(size=(3, len(labels), len(classes))))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    test = Predictions(
        classes=tuple(classes),
        labels=labels,
        speakers=names,
        genders=np.where(names.astype(int) % 2, "male", "female"),
        clip_ids=tuple(f"clip-{row}" for row in range(len(labels))),
        probabilities=probabilities,
    )
    return json.dumps(defined(score_test(test)))


@cache
def insight_of(classes: tuple[str, ...]) -> str:
    """insight.json of 24 speakers with 60 clips each, with pictures of a small CNN that has learned nothing."""
    clips = tuple(
        Clip(
            clip_id=f"{speaker:02d}-{number}",
            path=Path(f"{speaker:02d}-{number}.wav"),
            speaker=f"{speaker:02d}",
            emotion=classes[number % len(classes)],
            gender="male" if speaker % 2 else "female",
        )
        for speaker in range(1, 25)
        for number in range(60)
    )
    manifest = Manifest(corpus="ravdess", clips=clips, classes=classes)
    split = make_split(manifest, "speaker", 0)
    shown = [clips[row] for row in picture_rows(manifest, split)]
    predictor, store = untrained("shallow_cnn", [clip.emotion for clip in shown], classes)
    seconds = np.random.default_rng(7).gamma(30, 0.12, size=(3, 480))
    edges = np.histogram_bin_edges(seconds, bins=30)
    histograms = {part: np.histogram(values, edges)[0].tolist() for part, values in zip(PARTS, seconds, strict=True)}
    durations = {
        "edges_seconds": edges.tolist(),
        "clips": histograms,
        "shortest_seconds": seconds.min(),
        "median_seconds": float(np.median(seconds)),
        "longest_seconds": seconds.max(),
        "longer_share": float((seconds > 3).mean()),
        "clip_seconds": 3.0,
        "whole_clips": False,
        "trim_db": 0.0,
    }
    return json.dumps(
        {
            "model": "final/trial-00001-seed-1",
            "parts": count_parts(manifest, split),
            "durations": durations,
            "pictures": draw_pictures(predictor, shown, store),
        }
    )


def untrained(
    name: str, emotions: Sequence[str], classes: Sequence[str], **params: Any
) -> tuple[Predictor, FeatureStore]:
    """A model with random weights, and a store of random features with a clip of each of `emotions`."""
    config = default_config(name, {key.replace("__", "."): value for key, value in params.items()})
    rng, frames = np.random.default_rng(7), clip_frames(config.features)
    bins = {"mfcc_stats": 4 * config.features.n_mfcc, "wav2vec2": 768}.get(config.features.kind, config.features.n_mels)
    lengths = [frames if index % 2 == 0 else max(1, frames * 3 // 4) for index in range(len(emotions))]
    store = FeatureStore(
        frames=rng.normal(size=(sum(lengths), bins)).cumsum(axis=1).astype(np.float32),
        offsets=np.cumsum([0, *lengths]),
        labels=np.array([list(classes).index(word) for word in emotions]),
        clip_ids=tuple(f"clip-{index}" for index in range(len(emotions))),
        classes=tuple(classes),
        settings=config.features,
        fingerprint="random",
    )
    with seeded(7, 0, torch.device("cpu")):
        model = build_model(config, frames=frames, bins=bins, classes=len(classes)).eval()
    predictor = Predictor(
        config=config,
        classes=tuple(classes),
        normalisation=normalisation_of(store.frames, store.offsets, np.arange(len(emotions))),
        model=model,
        device=torch.device("cpu"),
        extract=extractor(config.features) if config.features.kind != "wav2vec2" else lambda clips: [],
        about={},
    )
    return predictor, store


@pytest.fixture
def untrained_model() -> Callable[..., tuple[Predictor, FeatureStore]]:
    """Makes a model with random weights and a store of random features: see `untrained`."""
    return untrained


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[..., RunMaker]:
    """Makes a run folder: `run_maker("name", trials=40, synthetic=True).search().finish()`."""
    return lambda name="study", **settings: RunMaker(tmp_path / name, **settings)


@pytest.fixture
def tested(run_maker: Callable[..., RunMaker]) -> Callable[..., Path]:
    """A finished run whose model has a share `skill` of the test clips right."""

    def make(name: str, skill: float, seed: int = 0, people: int = 6, seeds: int = 3, **plan: Any) -> Path:
        plan = {"model": name, "seeds": seeds, **plan}
        maker = run_maker(name, trials=6, max_epochs=6, **plan).search(fail_every=0).finish()
        return maker.predict(skill, seed=seed, speakers=people, seeds=seeds).folder

    return make


@pytest.fixture(scope="session", name="cache")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all tests keep corpora and features."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def thousand_trials(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with 1,000 ended trials of up to 50 epochs; not to be written to."""
    return RunMaker(tmp_path_factory.mktemp("thousand") / "study", max_epochs=50, trials=1000).search().folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server of its own on this machine, as the URL of its empty database: with a password it lets in."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda path: float(path.parent.name))
    if programs is None or not (programs / "initdb").exists():
        pytest.skip("needs the programs of a PostgreSQL server below /usr/lib/postgresql; Debian's package: postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # short, since the path of a socket may have 107 characters
    try:
        with _server(programs, folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(programs: Path, folder: Path) -> Iterator[str]:
    """Starts the server, which ends with this process, and yields its URL. The server refuses to run as root."""
    as_user = ["setpriv", "--pdeathsig=QUIT"]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        as_user += [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    (folder / "password").write_text("s3cret@word")
    (folder / "password").chmod(0o644)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    make = [programs / "initdb", "-D", folder / "data", "-U", "ser", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8"]
    subprocess.run([*as_user, *make, f"--pwfile={folder / 'password'}"], check=True, capture_output=True, cwd=folder)
    options = ["-h", "127.0.0.1", "-p", str(port), "-k", folder, "-c", "fsync=off", "-c", "max_connections=200"]
    with (folder / "log").open("wb") as log:
        run = [*as_user, programs / "postgres", "-D", folder / "data", *options]
        server = subprocess.Popen(run, stderr=log, cwd=folder)
    try:
        ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
        limit = time.monotonic() + 60
        while subprocess.run(ready).returncode != 0:
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"postgresql://ser:s3cret%40word@127.0.0.1:{port}/postgres"
    finally:
        server.send_signal(signal.SIGQUIT)  # at once: nobody wants its data
        server.wait(timeout=60)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URL of a database that no other test has."""
    name = f"test_{random.SystemRandom().getrandbits(64):x}"
    engine = create_engine(make_url(postgres_server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)


# -- pages in a browser -----------------------------------------------------------------------------------------------

PATIENCE_MS = 180_000
"""For a page to be drawn on a machine that is busy with other things."""


class OpenedPage:
    """A page in a browser; `problems` collects console errors, dialogs, and requests to anywhere but `address`."""

    def __init__(self, browser: Browser, address: str, *, width: int = 1440, scheme: Any = "light") -> None:
        self.problems: list[str] = []
        self.address = address
        offline = address.startswith("file:")
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=offline
        )
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self._note(message.type in ("error", "warning"), message.text))
        self.page.on("pageerror", lambda error: self._note(True, str(error)))
        self.page.on("request", lambda request: self._note(not self._own(request.url), request.url[:200]))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-drawn]")

    def _own(self, url: str) -> bool:
        base = self.address.partition("#")[0]
        return url == base if base.startswith("file:") else url.startswith(base)

    def _note(self, bad: bool, text: str) -> None:
        if bad and not text.startswith(("data:", "blob:")):
            self.problems.append(text)

    def drawn(self, name: str) -> dict[str, Any]:
        """What plotly holds for a figure after drawing: {data, layout}."""
        script = "([name]) => { const d = document.getElementById(name); return {data: d.data, layout: d.layout}; }"
        found: dict[str, Any] = self.page.evaluate(script, [name])
        return found


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's chromium without a window; tests skip where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on the path: apt-get install chromium")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE_MS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., OpenedPage]]:
    """Opens a page by its path or address: `open_page(path, width=390, scheme="dark")`; closed after the test."""
    opened: list[OpenedPage] = []

    def open_(where: Path | str, **settings: Any) -> OpenedPage:
        opened.append(OpenedPage(browser, where.as_uri() if isinstance(where, Path) else where, **settings))
        return opened[-1]

    yield open_
    for each in opened:
        each.context.close()
