"""Run folders for the tests of figures and pages, written with the real RecordWriter."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.asha import Asha
from search.records import RecordWriter, report_fields
from ser_core.report import EpochReport

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
                self.now += 30
                scores.append(trial.value - 0.03 + self.rng.gauss(0, 0.018))
                reports = [report_fields(report(1, scores[-1], 30.0))]
                self.writer.write("final_epochs", phase="finalist", trial=trial.number, seed=seed, reports=reports)
                self.writer.write("final_end", phase="finalist", trial=trial.number, seed=seed, reason="")
            finalists.append({"trial": trial.number, "params": dict(trial.params), "val_uar": spread(scores)})
        return finalists

    def finish(self, **test: Any) -> RunMaker:
        """Finals and result.json."""
        finalists = self.finals()
        winner = max(finalists, key=lambda finalist: finalist["val_uar"]["mean"])
        trials = list(self.writer.records.trials.values())
        best = max((t for t in trials if t.state != "FAIL"), key=lambda t: t.value)
        classes = self.plan["corpus"]["classes"]
        confusion = confusion_for(classes, self.rng)
        recalls = [row[i] / sum(row) for i, row in enumerate(confusion)]
        uar = sum(recalls) / len(recalls)
        seeds = [uar - 0.021, uar, uar + 0.021]
        result = {
            "model": self.plan["model"],
            "corpus": self.plan["corpus"],
            "split": {"kind": self.plan["split"], "speaker_independent": self.plan["speaker_independent"]},
            "search": {
                "trials": {s: sum(t.state == w for t in trials) for s, w in STATES.items()},
                "wall_seconds": self.now - 1_700_000_000.0,
                "overhead_seconds_per_trial": 0.12,
                "best": {"trial": best.number, "params": dict(best.params), "val_uar": best.value},
            },
            "finalists": finalists,
            "winner": {"trial": winner["trial"], "params": winner["params"]},
            "test": {
                "clips": 240,
                "uar": {**spread(seeds), "interval": [uar - 0.062, uar + 0.058]},
                "war": {**spread([uar + 0.01] * 3), "interval": [uar - 0.05, uar + 0.07]},
                "macro_f1": {**spread([uar - 0.01] * 3), "interval": [uar - 0.07, uar + 0.05]},
                "per_class_recall": {name: spread([recall]) for name, recall in zip(classes, recalls, strict=True)},
                "confusion": confusion,
                **test,
            },
            "test_reads": 1,
            "versions": self.plan["versions"],
        }
        (self.folder / "result.json").write_text(json.dumps(result))
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


def confusion_for(classes: list[str], rng: random.Random) -> list[list[int]]:
    """30 clips per class, most of them told, the others spread."""
    matrix = []
    for true in range(len(classes)):
        row = [0] * len(classes)
        row[true] = rng.randint(14, 27)
        for _ in range(30 - row[true]):
            row[rng.choice([i for i in range(len(classes)) if i != true])] += 1
        matrix.append(row)
    return matrix


@pytest.fixture
def run_maker(tmp_path: Path) -> Callable[..., RunMaker]:
    """Makes a run folder: `run_maker("name", trials=40, synthetic=True).search().finish()`."""
    return lambda name="study", **settings: RunMaker(tmp_path / name, **settings)
