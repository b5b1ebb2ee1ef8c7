"""Options: each is one field, from which command line, plan, resumption and messages follow."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from search.driver.option import Kind
from search.driver.options import OPTIONS, PATHS, Options
from search.run import app
from search.run_folder.limits import Limits
from search.run_folder.plan import SearchPlan
from ser_core.config import ConfigError

FLAGS = {word for param in typer.main.get_command(app).params for word in (*param.opts, *param.secondary_opts)}


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_is_on_the_command_line_and_lands_where_its_kind_says(name: str) -> None:
    about = OPTIONS[name]
    assert about.flag in FLAGS
    assert not about.off or about.off in FLAGS
    assert about.help.endswith((".", ").")), about.help
    in_plan = name in {field.name for field in fields(SearchPlan)}
    assert in_plan or about.kind is not Kind.PLAN
    assert (name in {field.name for field in fields(Limits)}) == (about.kind is Kind.LIMIT)


def test_the_command_line_has_no_option_beside_the_fields() -> None:
    known = {flag for about in OPTIONS.values() for flag in (about.flag, about.off) if flag}
    assert FLAGS - {"--help"} == known


def test_what_defines_a_run_cannot_be_given_again_and_the_rest_can() -> None:
    again = {name for name, about in OPTIONS.items() if about.again}
    defining = {name for name, about in OPTIONS.items() if about.kind.defines}
    assert again & defining == {"skip_bad"}
    assert set(OPTIONS) - again - defining == {"run_dir"}
    assert {"cache_dir", "configuration", "run_dir", "resume"} == PATHS


def test_only_what_was_not_left_out_is_given() -> None:
    options = Options(model="mlp", seed=0, skip_bad=False, search_per_fold=False, set_=["a=1", "b=2"])
    assert options.given() == {"model": "mlp", "search_per_fold": False, "set_": ["a=1", "b=2"], "seed": 0}
    assert options.given(Kind.SPACE) == {"set_": ["a=1", "b=2"]}
    assert options.command(str) == "ser search --model mlp --search-once --set a=1 --set b=2 --seed 0"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"trails": 3}, "unknown option 'trails'; known: .* Did you mean trials?"),
        ({"trials": "3"}, "trials must be of type int; got '3'"),
        (
            {"trials": True, "set_": "a=1"},
            r"(?s)trials must be of type int.*set_ must be of type list\[str\]; got 'a=1'",
        ),
        ({"model": "mpl"}, "unknown model 'mpl'; known: ast, .*, or all. Did you mean mlp?"),
        ({"model": "auto:mlp,cnn"}, "unknown architectures cnn; known: ast, .*, auto, or all"),
        ({"model": "auto:mlp"}, "--model auto chooses among two architectures or more; got auto:mlp"),
        ({"trials": 0, "seed": -1, "hours": 0.0}, "(?s)--trials must be at least 1; got 0.*--hours.*--seed must be at"),
        ({"concurrency": 0}, "--concurrency must be at least 1; got 0"),
        ({"gpus_per_trial": -0.5}, "--gpus-per-trial must be at least 0; got -0.5"),
        ({"grace_epochs": "0"}, "--grace-epochs must be at least 1; got 0"),
    ],
)
def test_values_that_cannot_be_meant_are_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Options.of(values)


def test_paths_may_be_text_and_whole_numbers_real() -> None:
    options = Options.of({"run_dir": "runs/x", "resume": Path("y"), "hours": 2, "gpus_per_trial": "auto"})
    assert (options.run_dir, options.resume, options.hours) == (Path("runs/x"), Path("y"), 2)


HEAVY = ("torch", "ray", "optuna", "transformers", "pandas", "plotly", "sklearn", "scipy", "torchaudio", "timm")


def loaded_by(*arguments: str, code: int) -> list[str]:
    """Heavy libraries that the command has loaded when it ends."""
    program = (
        "import sys\n"
        "from search.run import main\n"
        f"sys.argv = {['run.py', *arguments]!r}\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        f"    print(end.code, *[name for name in {HEAVY!r} if name in sys.modules], len(sys.modules), sep=',')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    last = done.stdout.splitlines()[-1].split(",")
    assert int(last[0] if last[0] != "None" else 0) == code, done.stdout + done.stderr
    return last[1:]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--trails", "3"], 2),
        (["--model", "mpl", "--data", "demo"], 2),
        (["--model", "mlp", "--data", "demo", "--seed", "-1"], 2),
        (["--data", "demo"], 2),
    ],
)
def test_help_and_mistakes_are_answered_before_anything_heavy_is_loaded(arguments: list[str], code: int) -> None:
    *heavy, modules = loaded_by(*arguments, code=code)
    assert heavy == []
    assert int(modules) < 700


def test_a_dry_run_loads_no_ray(cache: Path) -> None:
    *heavy, _ = loaded_by("--model", "mlp", "--data", "demo", "--cache-dir", str(cache), "--dry-run", code=0)
    assert "torch" in heavy
    assert "ray" not in heavy


def test_settings_that_an_earlier_version_named_otherwise_are_taken_by_their_present_names() -> None:
    options = Options(set_=["features.speaker_normalisation=true"], space=["features.speaker_normalisation=true,false"])
    assert options.set_ == ["features.normalisation=speaker"]
    assert options.space == ["features.normalisation=speaker,corpus"]
