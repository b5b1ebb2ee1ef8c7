"""Documents of a run folder, edited or damaged: a run that its readers can use, or one error with the place."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from search.comparison.folds import read_result
from search.pages.figures import confusion, durations, explained, fall, forest, model_input, parts, recall, reliability
from search.run_folder.caveat_facts import facts_of_result, facts_of_run
from search.run_folder.run_view import RunFolderError, read_run
from ser_core.config import ConfigError
from tests.bounded import bounded
from tests.ser_core.test_json_document import VALUES, places, with_change

FINISHED = Path(__file__).parents[2] / "data" / "run-of-0.1" / "finished"
DOCUMENTS = ("plan.json", "result.json", "insight.json")
FIGURES: tuple[ModuleType, ...] = (
    confusion, durations, explained, fall, forest, model_input, parts, recall, reliability,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    shutil.copytree(FINISHED, folder)
    return folder


def used(folder: Path) -> None:
    """What pages and tables take from a run, or the errors that its readers know."""
    with bounded(), suppress(RunFolderError, ConfigError):
        run = read_run(folder)
        facts_of_run(run)
        if run.result is not None:
            facts_of_result(run.result)
        for module in FIGURES:
            if (info := module.info(run)) is not None:
                module.reading(info)
                module.table(info)


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_document_is_used_or_refused(folder: Path, name: str, data: st.DataObject) -> None:
    kept = (FINISHED / name).read_text(encoding="utf-8")
    document = json.loads(kept)
    place = data.draw(st.sampled_from(places(document)))
    changed = with_change(document, place, data.draw(VALUES))
    try:
        (folder / name).write_text(json.dumps(changed), encoding="utf-8")
        used(folder)
    finally:
        (folder / name).write_text(kept, encoding="utf-8")


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_record_is_read_or_refused(folder: Path, data: st.DataObject) -> None:
    lines = (FINISHED / "records.jsonl").read_text(encoding="utf-8").splitlines()
    number = data.draw(st.integers(0, len(lines) - 1))
    event = json.loads(lines[number])
    place = data.draw(st.sampled_from(places(event)))
    lines[number] = json.dumps(with_change(event, place, data.draw(VALUES)))
    try:
        (folder / "records.jsonl").write_text("\n".join([*lines, ""]), encoding="utf-8")
        used(folder)
    finally:
        shutil.copy(FINISHED / "records.jsonl", folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda result: result["test"].pop("uar"), r"result\.json: test lacks uar"),
        (lambda result: result["test"]["uar"].update(mean="0.7"), r"test\.uar\.mean must be a number; got text"),
        (lambda result: result["test"]["confusion"].pop(), r"test\.confusion must have a row and a column for each"),
        (lambda result: result["finalists"][0]["val_uar"].update(mean=None), r"finalists\[\]\.val_uar\.mean must be a"),
        (
            lambda result: result["test"]["calibration"]["bins"][5].update(predictions=9, accuracy=None),
            "must have conf",
        ),
        (lambda result: result["test"]["calibration"]["bins"][7].update(interval=[1]), "must have two bounds"),
        (
            lambda result: result["test"]["calibration"]["ece"].update(mean=None),
            r"calibration\.ece\.mean must be a number",
        ),
        (lambda result: result["winner"].update(trial=5), r"winner\.trial must be one of the finalists"),
        (lambda result: result["corpus"].update(classes=["sad"]), r"test\.per_class_recall must have a score of each"),
    ],
)
def test_a_result_that_no_run_writes_is_refused_with_the_place(
    change: Callable[[dict[str, Any]], object], message: str, tmp_path: Path
) -> None:
    result = json.loads((FINISHED / "result.json").read_text(encoding="utf-8"))
    change(result)
    shutil.copytree(FINISHED, tmp_path / "run")
    (tmp_path / "run" / "result.json").write_text(json.dumps(result), encoding="utf-8")
    with pytest.raises(RunFolderError, match=message):
        read_run(tmp_path / "run")
    with pytest.raises(ConfigError, match=rf"{message}.*--resume .*run writes it again"):
        read_result(tmp_path / "run")


def test_a_plan_with_a_word_for_a_number_of_gpus_is_refused(tmp_path: Path) -> None:
    shutil.copytree(FINISHED, tmp_path / "run")
    plan = json.loads((FINISHED / "plan.json").read_text(encoding="utf-8"))
    plan["limits"]["gpus_per_trial"] = "many"
    (tmp_path / "run" / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"plan\.json .*--gpus-per-trial must be at least 0, or auto; got many"):
        read_run(tmp_path / "run")
