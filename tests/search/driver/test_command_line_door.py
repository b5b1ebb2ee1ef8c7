"""Any command line is answered: by what would be done, or by what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from search.driver.options import OPTIONS, TYPES
from search.run import app
from tests.bounded import bounded

KNOBS = ("optim.learning_rate", "optim.batch_size", "model.width", "features.kind", "seed", "nonsense", "")
HOSTILE = st.one_of(
    st.sampled_from(["", "0", "-1", "1", "2", "nan", "inf", "-inf", "1e999", "9" * 50, "1e-400", "0x10", "٣", "auto"]),
    st.sampled_from(["yes", "true", "mlp", "mlp,mlp", ",", "speaker", "random", "luna", "emobox:9", "8", "tpe"]),
    st.text(st.characters(codec=None), max_size=6),
    st.integers().map(str),
    st.floats().map(str),
)
PAIRS = st.builds("{}={}".format, st.sampled_from(KNOBS), HOSTILE) | st.builds(
    "{}={}:{}{}".format, st.sampled_from(KNOBS), HOSTILE, HOSTILE, st.sampled_from(["", ":log", ":linear", ":x"])
)
ELSEWHERE = ("data", "cache_dir", "run_dir", "resume", "storage", "warm_start", "configuration", "pretrained")
"""Options that name a place: what they hold has doors of its own."""
FLAGS = sorted(name for name in OPTIONS if name not in (*ELSEWHERE, "dry_run"))


@st.composite
def options(draw: st.DrawFn) -> list[str]:
    """Words of a command line: options with values that fit or not, or words that belong to nothing."""
    words: list[str] = []
    for name in draw(st.lists(st.sampled_from(FLAGS), max_size=3)):
        words.append(OPTIONS[name].flag)
        if TYPES[name] is not bool:
            words.append(draw(PAIRS if name in ("set_", "space") else HOSTILE))
    return words + draw(st.lists(HOSTILE, max_size=1)) * draw(st.booleans())


def answered(words: list[str], cache: Path) -> None:
    """A dry run ends with a plan or a message, within bounds."""
    base = ["--model", "mlp", "--data", "demo", "--cache-dir", str(cache), "--dry-run"]
    with bounded():
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*base, *words])
    assert result.exit_code in (0, 2), (words, result.output, result.exc_info)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=options())
def test_any_options_are_taken_or_refused(words: list[str], cache: Path) -> None:
    answered(words, cache)


@pytest.mark.slow
@settings(max_examples=500, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=options())
def test_many_options_are_taken_or_refused(words: list[str], cache: Path) -> None:
    answered(words, cache)
