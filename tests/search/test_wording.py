"""How numbers, counts, intervals, names and caveats are said."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from search.wording import (
    CaveatFacts,
    bytes_text,
    caveats,
    caveats_of_several,
    clip_text,
    count,
    in_percent,
    interval,
    percent,
    points,
    printable,
    rating_scales,
    resume_command,
    spread,
    tags,
    times,
)

HARMLESS = CaveatFacts(synthetic=False, speakers_mixed=False, transductive=False)
ALL = CaveatFacts(
    synthetic=True,
    speakers_mixed=True,
    transductive=True,
    tuned_on=("07", "08"),
    tuned_in="runs/x",
    test_reads=3,
)


def test_a_share_is_said_in_per_cent_with_one_digit() -> None:
    assert (percent(0.68341), points(0.68341), in_percent(0.68341)) == ("68.3 %", "68.3", 68.34)


@pytest.mark.parametrize("nothing", [None, math.nan, math.inf])
def test_a_share_that_is_not_defined_is_a_dash_and_no_number_in_a_table(nothing: float | None) -> None:
    assert (percent(nothing), points(nothing), in_percent(nothing)) == ("–", "–", None)


def test_a_spread_has_a_deviation_only_where_there_is_one() -> None:
    assert spread(0.683, 0.021) == "68.3 ± 2.1 %"
    assert spread(0.683, math.nan) == spread(0.683, None) == "68.3 %"
    assert spread(None, None) == "–"


def test_an_interval_that_is_not_defined_says_why() -> None:
    assert interval([0.61, 0.7]) == "61.0 to 70.0 %"
    assert interval((0.61, 0.7), unit="") == "61.0 to 70.0"
    assert interval([None, None], speakers=1) == "no interval: one test speaker"
    assert interval([math.nan, math.nan], speakers=4) == "no interval: all speakers score alike"
    assert interval([None, None]) == interval(None, speakers=1) == "–"


def test_counts_have_the_right_plural() -> None:
    assert [count(number, "speaker") for number in (0, 1, 1200)] == ["0 speakers", "1 speaker", "1,200 speakers"]
    assert count(2, "class", "classes") == "2 classes"
    assert [times(number) for number in (1, 3)] == ["once", "3 times"]


def test_control_characters_of_a_name_are_spelt_out() -> None:
    assert printable("a\x1b[31mb\x07.wav\nschön\t音") == "a\\x1b[31mb\\x07.wav\nschön\t音"
    assert printable("invoice\u202egpj.wav") == "invoice\\u202egpj.wav"
    assert printable("\udcff.wav") == "\\udcff.wav"  # a name on disk that is not UTF-8


def test_a_clip_far_from_its_manifest_is_named_without_the_way_up() -> None:
    assert clip_text("../../../data/a.wav") == "…/data/a.wav"
    assert clip_text("03/a..b.wav") == "03/a..b.wav"


def test_without_a_caveat_nothing_is_said() -> None:
    assert caveats(HARMLESS) == []
    assert tags(HARMLESS) == ""


def test_every_caveat_has_one_table_for_its_short_and_its_long_form() -> None:
    synthetic, mixed, transductive, tuned, reads = caveats(ALL)
    assert synthetic.title == "Synthetic corpus."
    assert "10 to 21 points" in mixed.short
    assert "10 to 21 points" in mixed.long
    assert "a single clip of a new speaker" in transductive.long
    assert "configurations of runs/x, which was tuned on test speakers of this run (07, 08)" in tuned.long
    assert reads.long.startswith("It was read 3 times;")
    assert tags(ALL) == (
        " (synthetic corpus, not speaker-independent, transductive, tuned on test speakers, test set read 3 times)"
    )


def test_caveats_of_several_runs_name_each_run_once_in_the_order_of_the_caveats() -> None:
    found = caveats_of_several([("mlp", HARMLESS), ("ast", ALL), ("ast", ALL)])
    assert [title for title, _ in found] == [caveat.title for caveat in caveats(ALL)]
    assert all(text.endswith(": ast.") for _, text in found)


def test_wording_loads_nothing_but_the_standard_library() -> None:
    script = "import sys; import search.wording; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True)
    assert not {"numpy", "rich", "torch", "optuna", "ray"} & set(done.stdout.split())


@pytest.mark.parametrize(
    ("program", "command"),
    [
        ("/opt/venv/bin/ser", "ser search --resume 'runs/a b'"),
        ("/opt/venv/bin/ser-search", "ser-search --resume 'runs/a b'"),
        ("search/run.py", "python search/run.py --resume 'runs/a b'"),
        ("/opt/venv/bin/jupyter", "ser search --resume 'runs/a b'"),
    ],
)
def test_a_run_is_resumed_as_the_program_was_started(
    program: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", [program, "--model", "mlp"])
    assert resume_command(Path("runs/a b")) == command


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (100, "100 B"),
        (1_000, "1.0 KiB"),
        (50_000, "49 KiB"),
        (400_000, "0.4 MiB"),
        (20 * 2**20, "20 MiB"),
        (500 * 2**20, "500 MiB"),
        (3.14 * 2**30, "3.1 GiB"),
    ],
)
def test_a_size_says_something_however_small(size: float, text: str) -> None:
    assert bytes_text(size) == text


def test_scales_are_said_where_they_are_known() -> None:
    said = rating_scales(["arousal", "valence"], {"arousal": (1, 5)})
    assert said == "Rated are arousal from 1 to 5, valence on a scale that the data do not say."
