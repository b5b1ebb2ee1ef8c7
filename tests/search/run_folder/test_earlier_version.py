"""Runs that version 0.1.0 wrote, before the search became packages, are still read, compared and resumed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import search
from search.comparison.leaderboard import make_leaderboard
from search.pages.html import build_page
from search.run_folder.plan import SearchPlan
from search.run_folder.records import TrialState
from search.run_folder.run_view import read_run
from search.study.warm_start import winner_of
from ser_core.architectures import default_config
from ser_core.config import ConfigError
from spaces.knobs import Choice

DATA = Path(__file__).parents[2] / "data" / "run-of-0.1"
FINISHED, INTERRUPTED = DATA / "finished", DATA / "interrupted"


def test_it_is_read_with_all_that_it_holds() -> None:
    run = read_run(FINISHED)
    assert (run.plan.model, run.plan.corpus.name, run.plan.limits.trials) == ("mlp", "demo", 6)
    assert run.plan.speakers.test == ("female3", "male2")
    assert len(run.records.trials) == 6
    assert TrialState.RUNNING not in {trial.state for trial in run.records.trials.values()}
    assert run.result is not None
    assert run.result["test_reads"] == 1


def test_its_page_is_drawn_and_it_is_compared_with_another_run(tmp_path: Path) -> None:
    assert "mlp on demo" in build_page(read_run(FINISHED))
    shutil.copytree(FINISHED, tmp_path / "new")
    SearchPlan.load(FINISHED).save(tmp_path / "new")  # as the present version writes it
    board = make_leaderboard({"old": [FINISHED], "new": [tmp_path / "new"]})
    assert len(board.numbers()["runs"]) == 2


def test_its_plan_is_written_again_as_it_was(tmp_path: Path) -> None:
    plan = SearchPlan.load(FINISHED)
    plan.save(tmp_path)
    assert json.loads((tmp_path / "plan.json").read_text()) == json.loads((FINISHED / "plan.json").read_text())
    assert plan.differences(SearchPlan.load(tmp_path)) == []
    assert plan.differences(replace(plan, reduction=4.0)) == ["reduction: 3.0 in the run, 4.0 now"]


def test_a_key_of_a_newer_version_is_ignored_by_readers_and_refused_on_resuming(tmp_path: Path) -> None:
    shutil.copytree(FINISHED, tmp_path / "run")
    values = {**json.loads((FINISHED / "plan.json").read_text()), "later": 1}
    (tmp_path / "run" / "plan.json").write_text(json.dumps(values))
    assert read_run(tmp_path / "run").plan == SearchPlan.load(FINISHED)
    with pytest.raises(ConfigError, match="it holds later, which a newer version wrote"):
        SearchPlan.load(tmp_path / "run")


def test_a_run_that_was_killed_under_it_is_resumed_and_compared(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(INTERRUPTED, folder)
    before = read_run(folder).records.trials
    assert [trial.state for trial in before.values()].count(TrialState.RUNNING) == 1
    run = search.tune(resume=folder, cache_dir=str(cache), quiet=True)
    after = read_run(folder).records
    assert [trial.origin for trial in after.trials.values()] == ["first"] + 5 * ["sampler"]
    assert after.trials[1] == before[1]
    assert TrialState.RUNNING not in {trial.state for trial in after.trials.values()}
    assert [trial.state.name for trial in run.study.trials] == [trial.state.name for trial in after.trials.values()]
    assert run.result is not None
    assert run.result["test_reads"] == 1
    assert run.result["tuning"] is None  # its finals were held by the rule that it was begun under
    assert len(run.result["finalists"]) == 1
    assert (
        json.loads((folder / "plan.json").read_text()).keys()
        == json.loads((INTERRUPTED / "plan.json").read_text()).keys()
    )
    assert len(make_leaderboard({"old": [FINISHED], "new": [folder]}).numbers()["runs"]) == 2


def test_normalisation_by_speaker_is_read_under_its_present_name(tmp_path: Path) -> None:
    shutil.copytree(FINISHED, tmp_path / "run")
    values = json.loads((FINISHED / "plan.json").read_text())
    earlier, present = "features.speaker_normalisation", "features.normalisation"
    values["space"][earlier] = {"type": "choice", "values": [False, True], "when": None}
    values["first"] = [{**params, earlier: False} for params in values["first"]]
    (tmp_path / "run" / "plan.json").write_text(json.dumps(values))
    records = (FINISHED / "records.jsonl").read_text().replace('"params": {', f'"params": {{"{earlier}": true, ')
    (tmp_path / "run" / "records.jsonl").write_text(records)
    run = read_run(tmp_path / "run")
    assert run.plan.transductive
    assert run.plan == SearchPlan.load(tmp_path / "run")
    assert run.plan.knobs.knobs[present] == Choice(values=("corpus", "speaker"))
    assert all(params[present] == "corpus" for params in run.plan.first)
    assert {trial.params[present] for trial in run.records.trials.values()} == {"speaker"}
    assert present in build_page(run)
    assert not any(earlier in trial.params for trial in run.records.trials.values())


def test_its_trials_keep_the_defaults_that_they_had(tmp_path: Path) -> None:
    plan = SearchPlan.load(FINISHED)
    config = default_config("mlp", plan.settings)
    assert (config.features.kind, config.features.n_mels, config.model.width) == ("mfcc_stats", 64, 80)
    assert default_config("mlp").features.kind != "mfcc_stats"
    _, _, fixed = winner_of(FINISHED, "mlp")
    assert fixed["features.kind"] == "mfcc_stats"


def test_a_new_plan_keeps_the_defaults_of_its_day(tmp_path: Path) -> None:
    plan = replace(SearchPlan.load(FINISHED), defaults={"features.kind": "compare", "features.n_mels": 20})
    plan.save(tmp_path)
    assert SearchPlan.load(tmp_path).settings == {**plan.defaults, **plan.fixed}
