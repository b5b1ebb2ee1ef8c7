"""Leaderboards: ranks and differences of runs on the same test clips, and runs that cannot be compared."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from scipy import stats
from typer.testing import CliRunner

from search.compare import command
from search.comparison.comparable import runs_in
from search.comparison.ensemble import ensemble_across, ensemble_of
from search.comparison.folds import read_result
from search.comparison.leaderboard import ComparisonError, make_leaderboard
from search.driver.batch_summary import conclude
from search.run_folder.paths import PREDICTIONS_FILE, validation_file
from search.run_folder.run_view import RunFolderError
from ser_core.config import ConfigError
from ser_core.metrics.paired import verdict

SCRIPT = Path(__file__).parents[2] / "search" / "compare.py"
Maker = Callable[..., Any]


def script(*arguments: object) -> str:
    """The real command; what it prints."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)], capture_output=True, text=True, env={"COLUMNS": "200"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(*arguments: object) -> str:
    """What the command says, in this process, of runs that it does not compare."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 1, done.output
    return done.output


def test_command_prints_ranks_and_differences_and_keeps_them_as_json(
    tested: Callable[..., Path], tmp_path: Path
) -> None:
    folders = [tested("mlp", 0.3, 1), tested("ast", 0.76, 2, seeds=2), tested("resnet18", 0.7, 3, seeds=2)]
    out = script(*folders, "--json", tmp_path / "board.json")
    board = json.loads((tmp_path / "board.json").read_text())
    assert [run["model"] for run in board["runs"]] == ["ast", "resnet18", "mlp"]
    by_model = {json.loads((folder / "plan.json").read_text())["model"]: folder for folder in folders}
    for rank, run in enumerate(board["runs"], start=1):
        expected = json.loads((by_model[run["model"]] / "result.json").read_text())["test"]
        assert run["rank"] == rank
        assert run["folders"] == [str(by_model[run["model"]])]
        for name in ("uar", "war"):
            assert run["score"][name]["value"] == pytest.approx(expected["ensemble"][name]["value"])
            assert run["score"][name]["interval"] == pytest.approx(expected["ensemble"][name]["interval"])
            assert run[name]["seeds"] == pytest.approx(expected[name]["seeds"])
            assert run[name]["mean"] == pytest.approx(expected[name]["mean"])
            assert run[name]["std"] == pytest.approx(expected[name]["std"])
            assert run[name]["interval"] == pytest.approx(expected[name]["interval"])
        assert f"{100 * expected['ensemble']['uar']['value']:.1f} %" in out
        assert f"{100 * expected['uar']['mean']:.1f} ± {100 * expected['uar']['std']:.1f} %" in out
    pairs = {(each["first"], each["second"]): each for each in board["differences"]}
    assert list(pairs) == [("ast", "resnet18"), ("ast", "mlp"), ("resnet18", "mlp")]
    assert [each["shown"] for each in pairs.values()] == [False, True, True]
    assert "ast beats resnet18 by " in out
    assert out.count(": not shown; McNemar") == 1
    assert out.count(": shown; McNemar") == 2
    assert board["test"] == {"clips": 240, "speakers": 6}
    assert board["protocol"]["split"] == "speaker (speakers kept apart)"
    assert "The runs had different budgets. Seeds: 3 in mlp; 2 in ast, resnet18." in out


def test_the_difference_is_a_paired_t_test_over_speakers(tested: Callable[..., Path]) -> None:
    """All emotions of a speaker are equally frequent here, so that UAR is a mean over speakers."""
    folders = {
        name: [tested(name, skill, seed, seeds=1)]
        for seed, (name, skill) in enumerate({"ast": 0.7, "mlp": 0.6}.items())
    }
    (found,) = make_leaderboard(folders).comparisons
    own = {}
    for name, (folder,) in folders.items():
        per_speaker = json.loads((folder / "result.json").read_text())["test"]["per_speaker"]
        own[name] = [score["uar"]["mean"] for _, score in sorted(per_speaker.items())]
    expected = stats.ttest_rel(own["ast"], own["mlp"])
    assert found.difference.p_value == pytest.approx(expected.pvalue, rel=0.1)
    bounds = expected.confidence_interval()
    assert (found.difference.interval.low, found.difference.interval.high) == pytest.approx(
        (bounds.low, bounds.high), abs=3e-3
    )


def test_a_line_tells_difference_interval_and_verdict(tested: Callable[..., Path]) -> None:
    (found,) = make_leaderboard({"ast": [tested("ast", 0.7, 1)], "mlp": [tested("mlp", 0.3, 2)]}).comparisons
    low, high = found.difference.interval.low, found.difference.interval.high
    expected = f"ast beats mlp by {100 * found.difference.value:.1f} points ({100 * low:.1f} to {100 * high:.1f}; p"
    assert verdict(found).startswith(expected)
    assert verdict(found).endswith(": shown")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "emobox:1"}, "Split: speaker (speakers kept apart) in ast; emobox:1 (speakers kept apart) in mlp."),
        ({"speakers": {"test": ["7"]}}, "Test speakers: unknown in ast; 7 in mlp."),
        ({"corpus": {"name": "crema-d"}}, "Corpus: ravdess (1,440 clips) in ast; crema-d (1,440 clips) in mlp."),
        ({"corpus": {"classes": ["happy", "sad"]}}, "Classes: neutral, calm, happy, sad, angry, fearful"),
    ],
)
def test_runs_of_another_protocol_are_refused(
    change: dict[str, Any], message: str, run_maker: Maker, tested: Callable[..., Path]
) -> None:
    first = tested("ast", 0.6)
    if "corpus" in change:
        change = {"corpus": {**json.loads((first / "plan.json").read_text())["corpus"], **change["corpus"]}}
    out = refused(first, tested("mlp", 0.6, **change))
    assert "error: test scores can be compared on the same clips alone, and these runs differ:" in out
    assert message in out


def test_runs_on_other_test_clips_are_refused(tested: Callable[..., Path]) -> None:
    runs = {"ast": [tested("ast", 0.6)], "mlp": [tested("mlp", 0.6, people=4)]}
    with pytest.raises(ComparisonError, match=r"80 clips \(clip-160, clip-161, clip-162, …\) only in ast\."):
        make_leaderboard(runs)
    table = runs["ast"][0] / PREDICTIONS_FILE
    renamed = runs["ast"][0].parent / "renamed"
    runs["ast"][0].rename(renamed)
    table = renamed / PREDICTIONS_FILE
    runs = {"ast": [renamed], "mlp": [tested("cnn_lstm", 0.6)]}
    table.write_text(table.read_text().replace("clip-007,01,", "clip-007,02,"))
    with pytest.raises(ComparisonError, match=r"Emotion or speaker of 1 clip \(clip-007\): other in ast than in mlp"):
        make_leaderboard(runs)


def test_the_order_of_the_clips_in_a_file_does_not_matter(tested: Callable[..., Path]) -> None:
    folders = {"ast": [tested("ast", 0.7)], "mlp": [tested("mlp", 0.4)]}
    before = make_leaderboard(folders).numbers()
    table = folders["mlp"][0] / PREDICTIONS_FILE
    head, *lines = table.read_text().splitlines()
    table.write_text("\n".join([head, *reversed(lines)]) + "\n")
    after = make_leaderboard(folders).numbers()
    assert after["differences"] == before["differences"]


def test_what_is_no_finished_run_is_refused(tested: Callable[..., Path], run_maker: Maker, tmp_path: Path) -> None:
    done, unfinished = tested("ast", 0.6), run_maker("mlp", model="mlp").folder
    assert "only finished runs can be compared; mlp must end first" in refused(done, unfinished)
    assert "two or more different runs" in refused(done, done)
    assert "a run folder holds plan.json" in refused(done, tmp_path / "nothing")
    (done / PREDICTIONS_FILE).write_text("clip_id\n")
    assert "is not a table of predictions" in refused(done, tested("cnn_lstm", 0.5))


def folds(
    tested: Callable[..., Path], model: str, skill: float, apart: Callable[[Path, int], None], **plan: Any
) -> list[Path]:
    """Two folds of a protocol, whose clips and speakers `apart` keeps apart."""
    found = []
    for fold in (1, 2):
        facts = {"model": model, "split": f"emobox:{fold}", "speakers": {"test": [f"{fold}{n}" for n in range(4)]}}
        folder = tested(f"{model}-fold-{fold}", skill, seed=fold + len(model), people=4, **facts, **plan)
        apart(folder / PREDICTIONS_FILE, fold)
        found.append(folder)
    return found


def rename_clips(table: Path, fold: int) -> None:
    lines = [line.split(",") for line in table.read_text().splitlines()]
    for line in lines[1:]:
        line[0], line[1] = f"{fold}-{line[0]}", f"{fold}-{line[1]}"
    table.write_text("\n".join(",".join(line) for line in lines) + "\n")


def test_warnings_name_the_models_whose_scores_they_concern(tested: Callable[..., Path]) -> None:
    warm = {"source": "elsewhere", "configurations": [], "test_speakers": ["01"]}
    groups = {
        "ast": folds(tested, "ast", 0.7, rename_clips, warm_start=warm, seeds=5),
        "mlp": folds(tested, "mlp", 0.5, rename_clips),
    }
    result = json.loads((groups["mlp"][1] / "result.json").read_text())
    (groups["mlp"][1] / "result.json").write_text(json.dumps({**result, "test_reads": 2, "transductive": True}))
    budget, transductive, tuned, reads = make_leaderboard(groups).warnings
    assert budget == "The runs had different budgets. Seeds: 5 in ast; 3 in mlp."
    assert transductive.startswith("Transductive.")
    assert transductive.endswith(": mlp.")
    assert tuned.endswith("from an earlier search on them: ast.")
    assert reads.endswith(": mlp.")


def test_the_folds_of_a_protocol_count_as_one(tested: Callable[..., Path]) -> None:
    groups = {model: folds(tested, model, skill, rename_clips) for model, skill in {"ast": 0.7, "mlp": 0.5}.items()}
    board = make_leaderboard(groups)
    assert (board.clips, board.speakers) == (320, 8)
    assert board.protocol["split"] == "emobox:1 (speakers kept apart); emobox:2 (speakers kept apart)"
    assert [len(entry.folders) for entry in board.entries] == [2, 2]
    assert board.warnings == ()  # the folds differ in their split, which is no difference between the models
    with pytest.raises(ComparisonError, match=r"Folds: 2 runs in ast; 1 run in mlp\."):
        make_leaderboard({"ast": groups["ast"], "mlp": groups["mlp"][:1]})
    with pytest.raises(ComparisonError, match=r"Split: emobox:1 .* in ast; emobox:2 .* in mlp"):
        make_leaderboard({"ast": groups["ast"], "mlp": groups["mlp"][::-1]})


def test_a_folder_of_runs_stands_for_the_runs_in_it(tested: Callable[..., Path], run_maker: Maker) -> None:
    ast, mlp = tested("batch/ast", 0.7, model="ast"), tested("batch/mlp", 0.5, model="mlp")
    alone = tested("alone", 0.4, model="mlp")
    assert runs_in([ast.parent]) == {"ast": [ast], "mlp": [mlp]}
    assert runs_in([ast.parent, alone, alone]) == {
        "ast": [ast],
        "mlp (batch)": [mlp],
        "mlp (alone)": [alone],
    }
    with pytest.raises(RunFolderError, match=r"a run folder holds plan\.json"):
        runs_in([ast / "final"])


def test_runs_of_one_model_are_named_by_their_folders(tested: Callable[..., Path]) -> None:
    runs = [tested(name, 0.5, model="mlp") for name in ("wide", "narrow", "wide/again/wide")]
    assert list(runs_in(runs[:2])) == ["mlp (wide)", "mlp (narrow)"]
    assert list(runs_in(runs)) == [f"mlp ({runs[0]})", "mlp (narrow)", f"mlp ({runs[2]})"]
    assert list(runs_in(runs[:1])) == ["mlp"]


def test_a_batch_ends_with_a_leaderboard_and_a_page(tested: Callable[..., Path]) -> None:
    ast, mlp = tested("batch/ast", 0.7, 1, model="ast"), tested("batch/mlp", 0.3, 2, model="mlp")
    console = Console(width=200, record=True)
    conclude(ast.parent, {"mlp": [mlp], "ast": [ast]}, {"resnet18": "no weights"}, console)
    out = console.export_text()
    assert "ast beats mlp by " in out
    board = json.loads((ast.parent / "leaderboard.json").read_text())
    assert [run["name"] for run in board["runs"]] == ["ast", "mlp"]
    assert board["not_run"] == {"resnet18": "no weights"}
    page = (ast.parent / "comparison.html").read_text()
    assert "2 runs compared" in page
    assert "ast beats mlp by " in page
    for path in (ast.parent / "leaderboard.json", ast.parent / "comparison.html"):
        assert str(path) in out


def test_a_batch_of_which_one_run_ended_has_no_page(tested: Callable[..., Path]) -> None:
    ast = tested("batch/ast", 0.7, model="ast")
    conclude(ast.parent, {"ast": [ast]}, {}, Console(quiet=True))
    assert json.loads((ast.parent / "leaderboard.json").read_text())["differences"] == []
    assert not (ast.parent / "comparison.html").exists()


def test_runs_made_apart_have_an_ensemble_on_request(tested: Callable[..., Path], tmp_path: Path) -> None:
    folders = [tested("ast", 0.7, 1), tested("mlp", 0.4, 2)]
    assert "holds no validation predictions of its winner" in refused(*folders, "--ensemble")
    for folder in folders:  # as good on validation clips as on those of the test
        validation = folder / validation_file(read_result(folder)["winner"]["trial"], 1)
        validation.parent.mkdir()
        shutil.copy(folder / PREDICTIONS_FILE, validation)
    out = script(*folders, "--ensemble", "--json", tmp_path / "board.json")
    numbers = json.loads((tmp_path / "board.json").read_text())["ensemble"]
    expected = ensemble_of(dict(zip(("ast", "mlp"), folders, strict=True)))
    assert numbers["weights"] == pytest.approx(expected.weights)
    assert numbers["weights"]["ast"] > 0.8
    assert f"UAR {100 * numbers['test']['uar']['value']:.1f} %" in out
    assert "Ensemble" not in script(*folders)


def test_an_ensemble_takes_runs_with_the_same_folds(tested: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="same folds; ast has 2, mlp has 1"):
        ensemble_across({"ast": folds(tested, "ast", 0.7, rename_clips), "mlp": [tested("mlp", 0.4)]})
