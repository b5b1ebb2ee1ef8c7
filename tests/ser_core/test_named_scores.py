"""Scores and the words for them: shares in per cent, coefficients and errors as they are."""

from __future__ import annotations

import math

import pytest

from ser_core.named_scores import NONE, OBJECTIVES, SCORES, UAR

CCC = SCORES["ccc"]


def test_a_share_is_written_in_per_cent_and_a_coefficient_as_it_is() -> None:
    assert (UAR.text(0.6834), UAR.digits(0.6834), UAR.signed(0.021), UAR.distance(-0.021)) == (
        "68.3 %", "68.3", "+2.1", "2.1 points",
    )  # fmt: skip
    assert (CCC.text(0.6834), CCC.digits(-0.1), CCC.signed(0.021), CCC.distance(-0.021)) == (
        "0.683", "-0.100", "+0.021", "0.021",
    )  # fmt: skip
    assert (UAR.axis, UAR.gap_axis, UAR.points) == ("UAR, %", "difference in UAR, points", "points UAR")
    assert (CCC.axis, CCC.gap_axis, CCC.points) == ("CCC", "difference in CCC", "CCC")


def test_tables_and_figures_have_the_same_numbers() -> None:
    assert (UAR.column, UAR.cell(0.68341), UAR.scaled(0.5)) == ("uar_percent", 68.34, 50.0)
    assert (CCC.column, CCC.cell(0.68341), CCC.scaled(0.5)) == ("ccc", 0.6834, 0.5)


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_is_no_number_is_a_dash_in_words_and_nothing_in_tables(value: float | None) -> None:
    for score in SCORES.values():
        assert score.text(value) == score.signed(value) == NONE
        assert score.cell(value) is None


def test_whatever_is_maximised_rises() -> None:
    assert all(SCORES[name].rises for name in OBJECTIVES)
