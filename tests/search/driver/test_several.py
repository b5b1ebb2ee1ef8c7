"""`--model auto`: which architectures, what options concern whom, and what a plan of several says of each."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from search.driver.options import Options
from search.driver.planning import own_options, prepare
from search.driver.several import chosen_among, resolve_several
from search.driver.tune import knob_meanings
from search.run_folder.architectures import (
    architectures_of,
    configuration_of,
    first_rungs,
    model_text,
    schedules,
    scorings,
    trial_epochs,
)
from search.run_folder.plan import SearchPlan
from search.run_folder.records_writer import RecordWriter
from search.run_folder.scoring import Scoring
from search.study.warm_start import warm_start
from ser_core.architectures import default_config, default_settings
from ser_core.config import BY_SPEAKER, ConfigError
from spaces import space_for
from spaces.knobs import Space
from spaces.several import ARCHITECTURE, architectures_in, choice_of, chosen_with, own_space, own_values
from tests.search.several_runs import NAMES, finished_with, made_of_several

NOTHING: dict[str, Any] = {"sets": (), "spaces": (), "max_epochs": None, "pretrained": None}


def plan_of(cache: Path, **options: Any) -> SearchPlan:
    asked = Options(**{"model": "auto:mlp,shallow_cnn", "data": "demo", **options})
    return prepare(asked, None, cache, Console(file=StringIO()))[0]


def test_alone_it_takes_all_that_need_no_download() -> None:
    found = chosen_among("auto")
    assert {"mlp", "shallow_cnn", "cnn_lstm", "resnet18"} <= set(found)
    assert not {"ast", "attn_crnn"} & set(found)
    assert not {"svm", "boosting"} & set(found)  # baselines, which have to be named
    assert chosen_among("auto:mlp,svm") == ("mlp", "svm")
    assert chosen_among("auto:ast,mlp") == ("ast", "mlp")
    assert chosen_among("mlp") == ()


def test_a_setting_concerns_all_that_have_it_or_the_one_that_is_named() -> None:
    sets = ["optim.clip_norm=1", "shallow_cnn/optim.batch_size=32", "model.layers=2"]
    space, fixed = resolve_several(NAMES, **{**NOTHING, "sets": sets, "max_epochs": 7})
    assert fixed == {
        "mlp/optim.clip_norm": 1.0, "mlp/model.layers": 2, "mlp/optim.epochs": 7,
        "shallow_cnn/optim.clip_norm": 1.0, "shallow_cnn/optim.batch_size": 32, "shallow_cnn/optim.epochs": 7,
    }  # fmt: skip
    assert "mlp/optim.batch_size" in space.knobs
    assert "shallow_cnn/optim.batch_size" not in space.knobs
    space, _ = resolve_several(NAMES, **{**NOTHING, "spaces": ["mlp/model.dropout=0.1:0.2"]})
    own = own_space("mlp", space).knobs["model.dropout"]
    assert (own.low, own.high) == (0.1, 0.2)  # type: ignore[union-attr]
    assert own_space("shallow_cnn", space) == space_for("shallow_cnn")


def test_a_schedule_concerns_those_that_have_one() -> None:
    asked = {**NOTHING, "max_epochs": 7, "sets": ["optim.batch_size=32"]}
    _, fixed = resolve_several(("mlp", "svm", "boosting"), **asked)
    assert fixed == {"mlp/optim.batch_size": 32, "mlp/optim.epochs": 7, "boosting/optim.epochs": 7}
    options = Options(model="mlp,svm", max_epochs=7, set_=["optim.batch_size=32", "model.complexity=0.1"])
    own = own_options(options, "svm")
    assert (own.max_epochs, own.set_) == (None, ["model.complexity=0.1"])
    own = own_options(options, "mlp")
    assert (own.max_epochs, own.set_) == (7, ["optim.batch_size=32"])
    with pytest.raises(ConfigError, match=r"none of svm, mlp has the setting in svm/optim.batch_size=16,32"):
        resolve_several(("svm", "mlp"), **{**NOTHING, "spaces": ["svm/optim.batch_size=16,32"]})


def test_all_mistakes_are_told_at_once_with_their_architecture() -> None:
    asked = {**NOTHING, "sets": ["model.depth=3", "mlp/model.width=many"], "pretrained": "imagenet"}
    with pytest.raises(ConfigError) as caught:
        resolve_several(NAMES, **asked)
    assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
        "none of mlp, shallow_cnn has the setting in model.depth=3",
        "--pretrained imagenet: none of mlp, shallow_cnn has pretrained weights",
        "mlp: model.width must be of type int",
    ]
    texts = ["mlp/model.layers=1", "model.size=tiny"]
    assert own_options(Options(model="auto:mlp,shallow_cnn", set_=texts), "auto:mlp,shallow_cnn").set_ == texts[:1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trials": 1, "finalists": 1}, "so --trials must be at least 2; got 1"),
        ({"epochs_total": 100}, "--epochs-total 100: epochs of several architectures differ in cost; .* --hours"),
        ({"grace_epochs": "auto"}, "--grace-epochs auto finds the first rung of one architecture"),
    ],
)
def test_what_a_choice_cannot_do_is_refused_by_name(options: dict[str, Any], message: str, cache: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_of(cache, **options)


def test_a_plan_of_several_says_of_each_what_a_plan_of_one_says(cache: Path) -> None:
    plan = plan_of(cache, folds="auto")
    own = {name: default_config(name).optim.epochs for name in NAMES}
    assert (plan.model, architectures_of(plan), plan.max_epochs) == ("auto", NAMES, max(own.values()))
    assert schedules(plan) == own
    assert trial_epochs(plan) == {name: epochs * plan.folds_in_turn for name, epochs in own.items()}
    assert first_rungs(plan) == {name: -(-epochs // 5) for name, epochs in own.items()}
    assert scorings(plan) == {name: Scoring(plan.score, epochs) for name, epochs in own.items()}
    assert configuration_of(plan, {ARCHITECTURE: "mlp", "mlp/optim.batch_size": 128}) == (
        "mlp", {**default_config("mlp").params(), "optim.batch_size": 128}
    )  # fmt: skip
    assert knob_meanings(plan).keys() >= plan.space.keys()
    assert not plan.transductive
    assert plan_of(cache, space=[f"mlp/features.normalisation=corpus,{BY_SPEAKER}"]).transductive
    assert model_text(plan, None) == "auto (mlp, shallow_cnn)"
    one = plan_of(cache, model="mlp")
    assert (schedules(one), first_rungs(one), scorings(one)) == (one.max_epochs, one.first_rung, one.scoring)
    assert configuration_of(one, {"optim.batch_size": 128})[1]["optim.batch_size"] == 128


def test_a_resumed_choice_is_among_the_same(cache: Path, tmp_path: Path) -> None:
    plan = plan_of(cache)
    plan.save(tmp_path)
    RecordWriter(tmp_path / "records.jsonl").close()
    old = SearchPlan.load(tmp_path)

    def resumed(**given: Any) -> SearchPlan:
        return prepare(Options(resume=tmp_path, **given), old, cache, Console(file=StringIO()))[0]

    assert resumed(trials=60).limits.trials == 60
    assert resumed(model="auto:mlp,shallow_cnn").space.keys() == plan.space.keys()
    for other in ("auto:mlp,cnn_lstm", "auto", "mlp"):
        with pytest.raises(ConfigError, match=r"is a run of auto \(mlp, shallow_cnn\); leave out --model"):
            resumed(model=other)
    with pytest.raises(ConfigError, match=r"--set mlp/optim.clip_norm: 5.0 in the run, 1.0 now"):
        resumed(set_=["mlp/optim.clip_norm=1"])
    with pytest.raises(ConfigError, match=r"(?s)--space mlp/model.dropout: .*--space shallow_cnn/model.dropout: "):
        resumed(space=["model.dropout=0:0.1"])


def test_what_one_run_found_is_tried_by_another_under_its_own_names(run_maker: Any, cache: Path) -> None:
    several = made_of_several(run_maker)
    best = [trial.params for trial in several.writer.records.ranked()]
    own = [own_values(choice_of(params), params) for params in best]
    knobs = {name: Space(knobs=space_for(name).knobs) for name in NAMES}
    for name, wanted in (("shallow_cnn", own[0]), ("mlp", own[2])):
        assert warm_start(str(several.folder), knobs[name], {}, name).configurations == [wanted]
    shared = {"optim.learning_rate": 2e-3}
    one = run_maker("one", model="mlp", space={}, fixed=shared, defaults=default_settings("mlp"), trials=1)
    one.start(0, {"model.width": 64})
    one.epochs(0, [0.5] * 30)
    one.end(0, "COMPLETE")
    found = warm_start(str(one.folder), plan_of(cache).knobs, {}, "auto").configurations
    assert found == [chosen_with("mlp", {**shared, "model.width": 64})]


def test_the_winner_of_a_choice_is_trained_elsewhere_without_the_others(run_maker: Any, cache: Path) -> None:
    folder = finished_with(made_of_several(run_maker), "shallow_cnn")
    plan = plan_of(cache, configuration=folder, model="auto")
    assert architectures_of(plan) == ("shallow_cnn",)
    assert plan.warm_start is not None
    assert plan.warm_start.configurations[0][ARCHITECTURE] == "shallow_cnn"
    assert architectures_in(plan.knobs) == ("shallow_cnn",)
    assert not any(name.startswith("mlp/") for name in (*plan.space, *plan.fixed, *plan.defaults))
    assert schedules(plan) == {"shallow_cnn": 9}
