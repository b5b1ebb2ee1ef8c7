"""The yardstick takes a table apart as the model that made it, recordings go on where they stopped, replays add up."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from _contestants import SEEDS
from _worth_record import Recording, record
from _worth_replay import PROCEDURES, choice_gains, finals_lengths, procedure_gain, search_gains
from _worth_stop import stopping
from _worth_table import UNIT, Truth, TruthHeader, TruthTable, header_line, truth_line
from _worth_variance import agreement, between_groups, components, final_scores, knob_effects, take_apart

from search.simulation.curve_tables import space_to_json
from ser_core.config import ConfigError
from ser_core.corpora import load_corpus
from ser_core.features.store import feature_store
from ser_core.splits import make_split
from spaces.knobs import Choice, Float, Space, When

TABLE = Path(__file__).parents[2] / "benchmarks" / "truth" / "mlp-mfcc-ravdess.jsonl"
SPACE = Space(
    knobs={
        "optim.learning_rate": Float(low=1e-3, high=1e-1, log=True),
        "model.width": Choice(values=(4, 8)),
        "model.dropout": Float(low=0.0, high=0.5, when=When(name="model.width", values=(8,))),
    },
    first=({"optim.learning_rate": 1e-2, "model.width": 8},),
)
HEADER = TruthHeader(
    model="mlp", corpus="made", seed=0, outer=("a", "b", "c"), inner=2, repeats=2, epochs=4, classes=4, fixed={},
    space=space_to_json(SPACE), about="",
)  # fmt: skip


def made(path: Path, worth: np.ndarray, *, configurations: int, told: float) -> TruthTable:
    """A table in which configuration c tests at `worth[c]`, and validates at that where `told` is 1, at 0.5 where 0."""
    lines = [header_line(HEADER)]
    for number in range(configurations):
        validated = [round(UNIT * (told * worth[number] + (1 - told) * 0.5))] * HEADER.epochs
        for split in HEADER.outer:
            truth = Truth(
                number=number,
                split=split,
                params={"optim.learning_rate": 1e-3 * 1.1**number, "model.width": 4},
                inner=[validated] * HEADER.inner,
                own=validated,
                test=[[round(UNIT * worth[number])] * HEADER.epochs] * HEADER.repeats,
                seconds=1.0,
            )
            lines.append(truth_line(truth))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return TruthTable.read(path)


def test_components_are_those_of_the_model_that_made_the_scores() -> None:
    rng = np.random.default_rng(0)
    shape = (400, 5, 3)
    scores = 50 + 2.0 * rng.normal(size=(400, 1, 1)) + 9 * rng.normal(size=(1, 5, 1))
    scores = scores + 1.5 * rng.normal(size=(400, 5, 1)) + 1.0 * rng.normal(size=shape)
    assert np.sqrt(components(scores)) == pytest.approx([2.0, 1.5, 1.0], rel=0.08)


def test_components_need_two_of_everything() -> None:
    with pytest.raises(ValueError, match=r"must number at least 2; got \(5, 3, 1\)"):
        components(np.zeros((5, 3, 1)))


def test_a_knob_without_effect_explains_nothing_and_one_with_effect_its_own() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(4), 200)
    noise = rng.normal(size=800)
    assert between_groups(noise, groups) < 0.02
    levels = np.array([-3.0, -1.0, 1.0, 3.0])
    assert between_groups(noise + levels[groups], groups) == pytest.approx(levels.var(ddof=1), rel=0.05)
    assert between_groups(noise, np.zeros(800)) == 0.0


def test_a_search_that_sees_the_truth_gains_what_the_best_is_above_the_recipe(tmp_path: Path) -> None:
    worth = np.array([0.5, *np.linspace(0.3, 0.6, 9)])
    table = made(tmp_path / "t.jsonl", worth, configurations=10, told=1.0)
    for gain in choice_gains(table, draws=9, repeats=20):
        assert gain.points.value == pytest.approx(10.0, abs=0.01), gain
        assert gain.kept == 0.0
    for gain in search_gains(table, "random", seeds=2, workers=2, full_lengths=40):
        assert gain.points.value == pytest.approx(10.0, abs=1.5), gain


@pytest.mark.parametrize("name", PROCEDURES)
def test_a_procedure_of_ours_finds_the_best_where_validation_tells_the_truth(name: str, tmp_path: Path) -> None:
    worth = np.array([0.5, *np.linspace(0.3, 0.6, 9)])
    table = replaced(made(tmp_path / "t.jsonl", worth, configurations=10, told=1.0), inner=SEEDS)
    gain = procedure_gain(table, PROCEDURES[name], seeds=2, workers=2, full_lengths=finals_lengths() + 30)
    assert gain.points.value == pytest.approx(10.0, abs=1.5)
    assert (gain.refit, gain.guarded, gain.kept) == ("end", True, 0.0)


def test_the_recipe_stands_after_finals_that_nothing_wins(tmp_path: Path) -> None:
    worth = np.array([0.5, *np.linspace(0.3, 0.4, 9)])
    for told in (0.0, 1.0):
        table = replaced(made(tmp_path / "t.jsonl", worth, configurations=10, told=told), inner=SEEDS)
        gain = procedure_gain(table, PROCEDURES["folds"], seeds=2, workers=2, full_lengths=finals_lengths() + 9)
        assert (gain.points.value, gain.kept) == (0.0, 1.0)


def test_finals_have_as_many_folds_as_seeds_and_a_budget(tmp_path: Path) -> None:
    table = made(tmp_path / "t.jsonl", np.full(4, 0.5), configurations=4, told=1.0)
    with pytest.raises(ValueError, match=f"go over {SEEDS} inner folds; the table has 2"):
        procedure_gain(table, PROCEDURES["folds"], seeds=1, workers=1, full_lengths=90)
    with pytest.raises(ValueError, match=f"take {finals_lengths()} trials of full length; got 3"):
        procedure_gain(replaced(table, inner=SEEDS), PROCEDURES["folds"], seeds=1, workers=1, full_lengths=3)


def replaced(table: TruthTable, *, inner: int) -> TruthTable:
    """The table with so many inner folds, all alike."""
    header = replace(table.header, inner=inner)
    return replace(table, header=header, inner=np.repeat(table.inner[:, :, :1], inner, axis=2))


def test_the_guard_keeps_the_recipe_unless_something_scores_better(tmp_path: Path) -> None:
    worth = np.array([0.5, *np.linspace(0.3, 0.4, 9)])
    seen = choice_gains(made(tmp_path / "t.jsonl", worth, configurations=10, told=1.0), draws=5, repeats=20)
    blind = choice_gains(made(tmp_path / "u.jsonl", worth, configurations=10, told=0.0), draws=5, repeats=20)
    for gain in (*seen, *blind):
        assert gain.kept == float(gain.guarded)
        assert (gain.points.value == pytest.approx(0.0)) if gain.guarded else gain.points.value < -9


def test_more_draws_than_configurations_are_refused(tmp_path: Path) -> None:
    table = made(tmp_path / "t.jsonl", np.full(4, 0.5), configurations=4, told=1.0)
    with pytest.raises(ValueError, match="holds 3 configurations beside the recipe; 4 cannot be drawn"):
        choice_gains(table, draws=4)


def test_the_nearest_configuration_ignores_what_is_not_active(tmp_path: Path) -> None:
    table = made(tmp_path / "t.jsonl", np.full(6, 0.5), configurations=6, told=1.0)
    for number, params in enumerate(table.params):
        assert table.nearest(params) == number


def test_a_configuration_that_an_outer_fold_lacks_is_left_out_and_divergence_counts_as_chance(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    made(path, np.full(3, 0.5), configurations=3, told=1.0)
    first, *lines = path.read_text(encoding="utf-8").splitlines()
    diverged = json.loads(lines[3])
    diverged["own"], diverged["test"] = diverged["own"][:2], [[], diverged["test"][1]]
    lines[3] = json.dumps(diverged)
    path.write_text("\n".join([first, *lines[:-1]]) + "\n", encoding="utf-8")
    table = TruthTable.read(path)
    assert len(table.params) == 2
    assert table.own[1, 0].tolist() == [0.5, 0.5, 0.25, 0.25]
    assert table.test[1, 0].tolist() == [[0.25] * 4, [0.5] * 4]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text("{}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a truth table"):
        TruthTable.read(path)
    path.write_text(header_line(HEADER) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="lacks the recipe on every outer fold"):
        TruthTable.read(path)


def test_the_recorded_table_comes_apart_as_it_was_first_reported() -> None:
    """Standard deviations in points, and correlations, computed from the same recordings by another program."""
    table = TruthTable.read(TABLE)
    assert table.test.shape == (32, 4, 2, 40)
    parts = take_apart(table)
    found = [parts.configuration.value, parts.interaction.value, parts.seed.value, parts.recipe]
    assert found == pytest.approx([2.3, 0.7, 2.0, 2.0], abs=0.06)
    assert parts.rank == 9
    assert parts.configuration.low < parts.configuration.value < parts.configuration.high
    scores = agreement(table)
    assert scores["own speakers, best epoch"] == pytest.approx(0.59, abs=0.02)
    assert scores["own speakers, last 5 epochs"] == pytest.approx(0.47, abs=0.02)
    assert scores["5 inner, best epochs"] == pytest.approx(0.75, abs=0.02)
    assert set(knob_effects(table)) == set(table.space.knobs)
    assert 40 < final_scores(table)[0].mean() < 50


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """The demo corpus, divided twice, and a small space."""
    folder = tmp_path_factory.mktemp("worth")
    manifest = load_corpus("demo", skip_bad=False, classes=None, cache_dir=folder)
    fixed = {"features.n_mels": 16, "features.n_mfcc": 8, "optim.epochs": 2}
    header = replace(
        HEADER, corpus=manifest.corpus, outer=("speaker",), epochs=2, classes=len(manifest.classes), fixed=fixed
    )
    return Recording(
        header=header,
        space=SPACE,
        manifest=manifest,
        splits={"speaker": make_split(manifest, "speaker", 0)},
        store=partial(feature_store, manifest, cache_dir=folder),
    )


def test_a_recording_begins_with_the_recipe_and_goes_on_where_it_stopped(recording: Recording, tmp_path: Path) -> None:
    at_once, in_two = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    seen = list[int]()
    whole = record(recording, at_once, count=2, progress=lambda truth: seen.append(truth.number))
    record(recording, in_two, count=1, progress=lambda _: None)
    with in_two.open("a", encoding="utf-8") as file:
        file.write('{"number": 1, "sp')  # torn by a power cut
    parts = record(recording, in_two, count=2, progress=lambda _: None)
    assert seen == [0, 1]
    assert whole.params[0] == {"optim.learning_rate": 1e-2, "model.width": 8, "model.dropout": 0.5}
    for name in ("inner", "own", "test"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))
    assert whole.inner.shape == (2, 1, 2, 2)
    assert whole.test.shape == (2, 1, 2, 2)
    with pytest.raises(ConfigError, match="was recorded otherwise"):
        record(replace(recording, header=replace(recording.header, seed=1)), in_two, count=2, progress=lambda _: None)


def test_searches_end_early_behind_a_good_recipe_and_go_on_behind_a_poor_one(tmp_path: Path) -> None:
    worth = np.linspace(0.2, 0.6, 45)
    rng = np.random.default_rng(0)
    table = made(tmp_path / "t.jsonl", worth, configurations=45, told=1.0)
    noisy = np.repeat(table.inner[:, :, :1], SEEDS + 2, axis=2) + rng.normal(0, 0.02, (45, 3, SEEDS + 2, 1))
    table = replace(table, header=replace(table.header, inner=SEEDS + 2), inner=noisy)
    best, *_, poor = stopping(table, seeds=1, workers=1, full_lengths=60)
    assert (best.rank, best.recipe) == (0.0, pytest.approx(60.0))
    assert best.stopped > 0.5
    assert best.epochs < 0.9
    assert (poor.stopped, poor.epochs) == (0.0, 1.0)
    assert poor.whole == poor.early > 5
