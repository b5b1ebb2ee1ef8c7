"""What is taken from an earlier study: the best of it, as far as it fits, and an account of what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial
from rich.console import Console

from search.driver.options import Options
from search.driver.planning import prepare
from search.pages.figures import history
from search.pages.run_head import page_head
from search.run_folder.limits import Limits
from search.run_folder.plan import SearchPlan, WarmStart
from search.run_folder.run_view import read_run
from search.study.warm_start import MOST_CONFIGURATIONS, fit, warm_start
from search.terminal.printing import print_warm_start, print_warnings
from ser_core.architectures import default_settings
from ser_core.config import ConfigError
from spaces import space_for
from spaces.knobs import Choice, Float, Int, Knob, Space, When

SPACE = Space(
    knobs={
        "optim.learning_rate": Float(low=1e-4, high=1e-2, log=True),
        "optim.batch_size": Choice(values=(16, 32, 64)),
        "model.width": Int(low=16, high=64, step=8),
        "augment.kind": Choice(values=("none", "specaugment")),
        "augment.time_masks": Int(low=1, high=4, when=When(name="augment.kind", values=("specaugment",))),
    },
    first=({"optim.learning_rate": 1e-3, "optim.batch_size": 32},),
)


@pytest.mark.parametrize(
    ("params", "mapped", "notes"),
    [
        ({"optim.learning_rate": 0.5}, {"optim.learning_rate": 1e-2},
         ["optim.learning_rate 0.5 → 0.01 (above the range)"]),
        ({"optim.learning_rate": 1e-6}, {"optim.learning_rate": 1e-4},
         ["optim.learning_rate 1e-06 → 0.0001 (below the range)"]),
        ({"optim.learning_rate": "auto"}, {}, ["optim.learning_rate auto dropped (not a number)"]),
        ({"optim.learning_rate": True}, {}, ["optim.learning_rate True dropped (not a number)"]),
        ({"optim.learning_rate": None}, {}, ["optim.learning_rate None dropped (not a number)"]),
        ({"optim.batch_size": 64.0}, {"optim.batch_size": 64}, []),
        ({"optim.batch_size": 8}, {}, ["optim.batch_size 8 dropped (not one of 16, 32, 64)"]),
        ({"model.width": 21}, {"model.width": 24}, ["model.width 21 → 24 (not 16 plus a multiple of 8)"]),
        ({"model.width": 32.0}, {"model.width": 32}, []),
        ({"model.width": 500}, {"model.width": 64}, ["model.width 500 → 64 (above the range)"]),
        ({"augment.kind": "none", "augment.time_masks": 2}, {"augment.kind": "none"}, []),
        ({"augment.kind": "mixup", "augment.time_masks": 9}, {"augment.time_masks": 4},
         ["augment.kind mixup dropped (not one of none, specaugment)", "augment.time_masks 9 → 4 (above the range)"]),
        ({"model.depth": 3, "optim.clip_norm": 5.0}, {},
         ["model.depth dropped (no knob of this space)", "optim.clip_norm dropped (fixed at 1.0)"]),
    ],
)  # fmt: skip
def test_a_configuration_is_mapped_onto_the_space(params: Any, mapped: Any, notes: list[str]) -> None:
    found, said = fit(params, SPACE, {"optim.clip_norm": 1.0})
    assert found == mapped
    assert [type(value) for value in found.values()] == [type(value) for value in mapped.values()]
    assert said == notes


values = st.one_of(
    st.floats(), st.integers(-100, 10**6), st.booleans(), st.none(), st.sampled_from(["none", "x", "16"])
)


@given(params=st.dictionaries(st.sampled_from([*SPACE.knobs, "old.knob"]), values))
def test_whatever_was_tried_elsewhere_what_is_taken_can_be_tried_here(params: dict[str, Any]) -> None:
    mapped, notes = fit(params, SPACE, {})
    assert all(SPACE.knobs[name].accepts(value) for name, value in mapped.items())
    assert fit(mapped, SPACE, {}) == (mapped, [])  # what fits stays as it is
    for name in set(params) - set(mapped):
        inactive = name in SPACE.knobs and not SPACE.active(name, mapped)
        assert inactive or any(note.startswith(f"{name} ") and "dropped" in note for note in notes)


def test_the_best_of_a_run_each_once_complete_ones_first(run_maker: Callable[..., Any]) -> None:
    run = run_maker("old", max_epochs=3)
    made = [
        (0.9, "FAIL", {"optim.batch_size": 64}),
        (0.8, "PRUNED", {"optim.batch_size": 16, "model.width": 16}),
        (0.5, "COMPLETE", {"optim.batch_size": 16, "model.width": 32}),
        (0.7, "COMPLETE", {"optim.batch_size": 32, "optim.learning_rate": 1e-3}),  # the first one of the space
        (0.6, "COMPLETE", {"optim.batch_size": 16, "model.width": 33}),  # becomes the third one
    ]
    for number, (value, state, params) in enumerate(made):
        run.start(number, params)
        run.epochs(number, [value] * (3 if state == "COMPLETE" else 1))
        run.end(number, state, "" if state == "COMPLETE" else "why")
    warm = warm_start(str(run.folder), SPACE, {}, "mlp")
    assert warm.configurations == [
        {"optim.batch_size": 16, "model.width": 32},
        {"optim.batch_size": 16, "model.width": 16},
    ]
    assert warm.notes == ["model.width 33 → 32 (not 16 plus a multiple of 8) in 1"]
    assert (warm.source, warm.corpus) == (str(run.folder), "ravdess")


def test_what_a_run_had_by_default_is_left_to_the_sampler(run_maker: Callable[..., Any]) -> None:
    run = run_maker("old", model="mlp", defaults=default_settings("mlp"), trials=3).search()
    assert run.plan["defaults"]["optim.clip_norm"] == 5.0
    knobs = {"model.width": SPACE.knobs["model.width"], "optim.clip_norm": Float(low=1.0, high=10.0)}
    found = warm_start(str(run.folder), Space(knobs=knobs), {}, "mlp").configurations
    assert {name for params in found for name in params} == {"model.width"}


def test_what_a_run_had_fixed_belongs_to_its_configurations(run_maker: Callable[..., Any]) -> None:
    run = run_maker("old", fixed={"optim.epochs": 30, "model.width": 64}, trials=20).search()
    warm = warm_start(str(run.folder), SPACE, {}, "mlp")
    assert len(warm.configurations) == MOST_CONFIGURATIONS
    best = run.writer.records.ranked()[0]
    assert warm.configurations[0]["optim.learning_rate"] == pytest.approx(min(1e-2, best.params["optim.learning_rate"]))
    assert all(params["model.width"] % 8 == 0 for params in warm.configurations)


def journal(path: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(path)))


def study(
    url: Any, name: str = "study", direction: str = "maximize", values: tuple[float, ...] = (0.1, 0.2, 0.3)
) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    made = optuna.create_study(storage=url, study_name=name, direction=direction)
    range_ = FloatDistribution(0, 1)
    for value in values:
        params = {"optim.learning_rate": value / 100}
        made.add_trial(create_trial(value=value, params=params, distributions={"optim.learning_rate": range_}))
    pruned = create_trial(
        state=TrialState.PRUNED,
        params={"optim.learning_rate": 0.009},
        distributions={"optim.learning_rate": range_},
        intermediate_values={1: 0.9 if direction == "maximize" else 0.01, 2: float("nan")},
    )
    made.add_trial(pruned)
    made.add_trial(create_trial(state=TrialState.FAIL))


@pytest.mark.parametrize(
    ("direction", "rates"),
    [("maximize", [0.003, 0.002, 0.001, 0.009]), ("minimize", [0.001, 0.002, 0.003, 0.009])],
)
def test_the_best_is_what_the_study_calls_best(direction: str, rates: list[float], tmp_path: Path) -> None:
    study(journal(tmp_path / "old.log"), direction=direction)
    warm = warm_start(str(tmp_path / "old.log"), Space(knobs=SPACE.knobs), {}, "mlp")
    assert [params["optim.learning_rate"] for params in warm.configurations] == pytest.approx(rates)
    assert warm.source == f"{tmp_path / 'old.log'}#study"


def test_one_of_several_studies_is_named(tmp_path: Path, postgres: str) -> None:
    for name, value in (("one", 0.4), ("two", 0.9)):
        study(postgres.replace("postgresql:", "postgresql+psycopg:"), name=name, values=(value,))
    with pytest.raises(ConfigError, match=r"holds 2 studies: one, two\. Choose one: --warm-start '.*#one'") as caught:
        warm_start(postgres, SPACE, {}, "mlp")
    assert "s3cret" not in str(caught.value)
    warm = warm_start(f"{postgres}#two", SPACE, {}, "mlp")
    assert warm.configurations[0] == {"optim.learning_rate": pytest.approx(0.009)}
    assert "s3cret" not in warm.source
    with pytest.raises(ConfigError, match=r"holds no study 'three'; it holds one, two"):
        warm_start(f"{postgres}#three", SPACE, {}, "mlp")


def test_a_journal_is_read_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "old.journal"
    study(journal(path))
    before = path.read_bytes()
    rates = [params["optim.learning_rate"] for params in warm_start(str(path), SPACE, {}, "mlp").configurations]
    assert rates == pytest.approx([0.003, 0.002, 0.009])  # the first configuration of the space covers 0.001
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: "nothing.journal", r"--warm-start .*nothing\.journal: there is no such file"),
        (lambda folder: "nothing", r"--warm-start nothing: it takes a journal file"),
        (lambda folder: f"sqlite:///{folder}/nothing.db", r"nothing\.db: there is no such file"),
        (lambda folder: str(folder), r"a run folder holds plan\.json"),
        (lambda folder: f"sqlite:///{folder}/empty.db", r"empty\.db: the database holds no studies of Optuna"),
        (lambda folder: f"sqlite:///{folder}/text.db", r"cannot be opened \(file is not a database\)"),
        (lambda folder: str(folder / "text.log"), r"is not a journal of Optuna"),
        (lambda folder: str(folder / "two.log"), r"has 2 objectives; it must have one"),
        (lambda folder: str(folder / "failed.log"), r"no trial of it ended with a score"),
    ],
)
def test_what_cannot_be_used_is_said(make: Callable[[Path], str], message: str, tmp_path: Path) -> None:
    for name in ("text.db", "text.log"):
        (tmp_path / name).write_text("Dear diary, this is no study" * 50)
    (tmp_path / "empty.db").touch()
    optuna.create_study(storage=journal(tmp_path / "two.log"), directions=["maximize", "minimize"])
    optuna.create_study(storage=journal(tmp_path / "failed.log")).add_trial(create_trial(state=TrialState.FAIL))
    with pytest.raises(ConfigError, match=message):
        warm_start(make(tmp_path), SPACE, {}, "mlp")
    assert not (tmp_path / "nothing.db").exists()


def test_nothing_in_common_and_nothing_new_are_told_apart(tmp_path: Path) -> None:
    study(journal(tmp_path / "old.log"), values=(0.1,))
    foreign = Space(knobs={"model.depth": Int(low=1, high=3)})
    with pytest.raises(
        ConfigError, match=r"none of its values fits.* Its knobs: optim\.learning_rate; those .*model\.depth"
    ):
        warm_start(str(tmp_path / "old.log"), foreign, {}, "mlp")
    rates = ({"optim.learning_rate": 0.001}, {"optim.learning_rate": 0.009})
    with pytest.raises(ConfigError, match="all that fits of it are the configurations that are tried first anyway"):
        warm_start(str(tmp_path / "old.log"), replace(SPACE, first=rates), {}, "mlp")


# -- in a plan ---------------------------------------------------------------------------------------------------------


def planned(cache: Path, old: SearchPlan | None = None, **given: Any) -> SearchPlan:
    options = Options(**{"model": "mlp", "data": "demo", **given} if old is None else given)
    return prepare(options, old, cache, Console(file=StringIO()))[0]


def printed(plan: SearchPlan) -> str:
    console = Console(file=StringIO(), width=300)
    print_warm_start(plan, console)
    print_warnings(plan, console)
    return console.file.getvalue()


@pytest.fixture
def earlier(run_maker: Callable[..., Any]) -> Path:
    """A run of another model on another corpus."""
    return run_maker("earlier", trials=20).search().folder


def test_a_plan_keeps_what_it_took_and_says_so(earlier: Path, tmp_path: Path, cache: Path) -> None:
    plan = planned(cache, warm_start=str(earlier))
    assert plan.warm_start is not None
    knobs: dict[str, Knob] = dict(space_for("mlp").knobs)
    assert all(
        knobs[name].accepts(value) for params in plan.warm_start.configurations for name, value in params.items()
    )
    text = printed(plan)
    assert f"Warm start from {earlier}: 5 of its best configurations tried after the model's recipes" in text
    assert "augment.kind dropped (no knob of this space)" in text
    assert "tuned on test speakers" not in text
    plan.save(tmp_path)
    (earlier / "records.jsonl").unlink()
    resumed = planned(cache, SearchPlan.load(tmp_path))
    assert plan.differences(resumed) == []
    assert resumed.warm_start == SearchPlan.load(tmp_path).warm_start
    with pytest.raises(ConfigError, match="leave --warm-start out"):
        planned(cache, SearchPlan.load(tmp_path), warm_start=str(earlier))


def test_the_page_shows_what_came_from_an_earlier_study(run_maker: Callable[..., Any]) -> None:
    warm = WarmStart(source="runs/old", configurations=[{}], corpus="ravdess", speakers=["3"], test_speakers=["3"])
    run = run_maker("run", warm_start=asdict(warm))
    for number, origin in enumerate(("first", "warm", "sampler")):
        run.writer.trial_started(number, run.params(number), origin)
        run.epochs(number, [0.3 + 0.1 * number])
        run.end(number, "COMPLETE")
    view = read_run(run.folder)
    assert [banner.word for banner in page_head(view).banners] == ["Tuned on test speakers."]
    shown = history.info(view)
    assert shown is not None
    (trace,) = [trace for trace in history.figure(shown).data if trace.name == "warm start"]
    assert (list(trace.x), list(trace.y)) == ([1], [40.0])


def test_too_few_trials_for_all_are_told(earlier: Path, cache: Path) -> None:
    plan = planned(cache, warm_start=str(earlier))
    limited = replace(plan, limits=Limits(trials=len(plan.first) + 2))
    assert f"--trials {len(plan.first) + 2} leaves room for 2 of them" in printed(limited)


def test_test_speakers_that_the_earlier_study_knew_are_named(run_maker: Callable[..., Any], cache: Path) -> None:
    plan = planned(cache)
    test, other = plan.speakers.test, plan.speakers.fit
    corpus = {**run_maker("x").plan["corpus"], "name": plan.corpus.name}
    own = {"fit": other, "validation": test[:1], "test": []}
    before = WarmStart(source="a", configurations=[], corpus=corpus["name"], speakers=[test[1]])
    for chain, heard in ((None, test[:1]), (asdict(before), test[:2])):
        run = run_maker(f"old-{len(heard)}", corpus=corpus, speakers=own, warm_start=chain, trials=9).search()
        plan = planned(cache, warm_start=str(run.folder))
        assert plan.warm_start is not None
        assert plan.warm_start.test_speakers == sorted(heard)
        assert f"tuned on test speakers of this run ({', '.join(sorted(heard))})" in printed(plan)
