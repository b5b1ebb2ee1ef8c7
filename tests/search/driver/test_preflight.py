"""What can be known before training is said before training: a dry run refuses what the run would refuse later."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

from search.driver.options import Options
from search.driver.planning import prepare
from search.driver.preflight import check_resumption
from search.run import app
from search.run_folder.limits import Limits
from search.run_folder.paths import LEDGER_FILE, RECORDS_FILE
from search.run_folder.plan import SearchPlan
from search.run_folder.records_writer import RecordWriter
from ser_core.config import ConfigError
from tests.tiny_encoders import save_tiny_encoder


def refused(*arguments: object) -> str:
    """What a command says that is refused with exit code 2."""
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(map(str, arguments)))
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seed", -1], "--seed must be at least 0; got -1"),
        (["--cpus-per-trial", 100_000], f"--cpus-per-trial 100000: this machine has {os.cpu_count()} core"),
        (["--gpus-per-trial", 64], f"--gpus-per-trial 64: PyTorch sees {torch.cuda.device_count()} GPU"),
        (["--finalists", 5, "--trials", 2], "--finalists 5 are chosen from the trials, and --trials is 2"),
        (["--space", "optim.learning_rate=0:1"], "a log scale needs bounds above 0"),
        (["--set", "optim.bucketing=yes"], "got 'yes'; say true or false"),
        (["--storage", "sqlite:////nowhere/x.db"], "there is no folder /nowhere; make it first"),
        (["--run-dir", __file__], "is a file; name a folder"),
        (["--run-dir", f"{__file__}/run"], "is no folder that can be written to"),
    ],
)
def test_a_dry_run_refuses_what_cannot_work(arguments: list[object], message: str, cache: Path) -> None:
    assert message in refused("--model", "mlp", "--data", "demo", "--cache-dir", cache, "--dry-run", *arguments)


def test_a_dry_run_refuses_weights_that_cannot_be_had(cache: Path, tmp_path: Path) -> None:
    weights = ["--pretrained", tmp_path / "missing"]
    out = refused("--model", "resnet18", "--data", "demo", "--cache-dir", cache, "--dry-run", *weights)
    assert "missing" in out


def test_a_dry_run_refuses_an_encoder_before_any_feature_is_computed(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    asked = ["--model", "attn_crnn", "--data", "demo", "--cache-dir", cache, "--dry-run", "--pretrained"]
    assert "model_type is 'bert'; use a checkpoint of wav2vec 2.0" in refused(*asked, tmp_path)
    assert "Without internet: download it elsewhere" in refused(*asked, "nobody/nothing")
    save_tiny_encoder(tmp_path / "cut")
    (tmp_path / "cut" / "model.safetensors").write_bytes(b"cut")
    assert "cut' cannot be loaded" in refused(*asked, tmp_path / "cut")


def test_a_dry_run_refuses_changes_of_samples_for_an_encoder_that_takes_none(cache: Path, tmp_path: Path) -> None:
    save_tiny_encoder(tmp_path, "whisper")
    asked = ["--model", "finetune", "--data", "demo", "--cache-dir", cache, "--dry-run", "--pretrained", tmp_path]
    message = "samples are changed only for an encoder that takes samples"
    assert message in refused(*asked, "--set", "augment.gain_db=3")
    assert message in refused(*asked, "--space", "augment.reverb_seconds=0.0:0.5")


def test_a_dry_run_refuses_a_folder_that_holds_a_run(cache: Path, tmp_path: Path) -> None:
    write_trials(tmp_path, 1)
    out = refused("--model", "mlp", "--data", "demo", "--cache-dir", cache, "--dry-run", "--run-dir", tmp_path)
    assert "holds a run already; --resume" in out


def write_trials(folder: Path, trials: int) -> None:
    writer = RecordWriter(folder / RECORDS_FILE)
    for number in range(trials):
        writer.trial_started(number, {}, "sampler")
    writer.close()


@pytest.fixture
def plan(cache: Path) -> SearchPlan:
    options = Options(model="mlp", data="demo", trials=5)
    return prepare(options, None, cache, Console(file=StringIO()))[0]


def test_a_resumed_run_has_at_least_the_trials_that_it_has(plan: SearchPlan, tmp_path: Path) -> None:
    write_trials(tmp_path, 5)
    with pytest.raises(ConfigError, match=r"--trials 3: the run in .* has started 5 already"):
        check_resumption(Options(resume=tmp_path, trials=3), tmp_path, plan)
    check_resumption(Options(resume=tmp_path, trials=5), tmp_path, plan)


def test_a_longer_search_after_a_reading_of_the_test_set_is_refused_at_once(plan: SearchPlan, tmp_path: Path) -> None:
    write_trials(tmp_path, 5)
    (tmp_path / LEDGER_FILE).write_text(json.dumps({"models": [], "predictions_sha256": ""}) + "\n")
    longer = replace(plan, limits=Limits(trials=9))
    asked: dict[str, Any] = {"resume": tmp_path, "trials": 9}
    with pytest.raises(ConfigError, match=r"read once before; a longer search \(--trials\).*--allow-second-test-read"):
        check_resumption(Options(**asked), tmp_path, longer)
    check_resumption(Options(**asked, allow_second_test_read=True), tmp_path, longer)
    check_resumption(Options(resume=tmp_path), tmp_path, plan)


def test_what_a_resumed_run_is_asked_otherwise_is_said_in_the_words_of_the_command_line(
    plan: SearchPlan, cache: Path, tmp_path: Path
) -> None:
    def changes(**given: Any) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            prepare(Options(resume=tmp_path, **given), plan, cache, Console(file=StringIO()))
        return str(caught.value).splitlines()[1:]

    assert changes(seed=1, reduction=4.0) == ["--reduction: 3.0 in the run, 4.0 now", "--seed: 0 in the run, 1 now"]
    assert changes(max_epochs=3) == [f"--max-epochs: {plan.max_epochs} in the run, 3 now"]
    assert changes(set_=["optim.clip_norm=1"]) == ["--set optim.clip_norm: 5.0 in the run, 1.0 now"]
    (knob,) = changes(space=["optim.learning_rate=1e-3:1e-2"])
    assert knob.startswith("--space optim.learning_rate: ")
    assert knob.endswith("in the run, 0.001 to 0.01, log scale now")
    assert changes(split="random") == ["--split: speaker in the run, random now"]
    same = Options(resume=tmp_path, model="mlp", seed=0, sampler="tpe", max_epochs=plan.max_epochs, trials=7)
    assert prepare(same, plan, cache, Console(file=StringIO()))[0].limits.trials == 7
