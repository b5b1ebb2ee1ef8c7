"""The page of a whole protocol, drawn in a real browser."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search.comparison.folds import protocol_numbers
from search.comparison.leaderboard import make_leaderboard
from search.pages.folds_page import write_protocol_page
from tests.search.run_maker import CLASSES
from tests.search.test_compare import folds, rename_clips


def change(folder: Path, **facts: Any) -> None:
    """Other facts in `result.json`."""
    result = json.loads((folder / "result.json").read_text())
    (folder / "result.json").write_text(json.dumps({**result, **facts}))


def document_of(runs: dict[str, list[Path]]) -> dict[str, Any]:
    for folder in (folder for own in runs.values() for folder in own):
        change(folder, corpus={"name": "demo", "classes": CLASSES, "fingerprint": "0123456789abcdef"})
    models = {model: protocol_numbers(own) for model, own in runs.items()}
    return {"protocol": "emobox", "folds": 2, "search": "per fold", "models": models}


@pytest.mark.parametrize("width", [1440, 390])
def test_every_fold_stands_in_the_table_and_all_clips_in_the_figures(
    tested: Callable[..., Path], tmp_path: Path, open_page: Callable[..., Any], width: int
) -> None:
    runs = {model: folds(tested, model, skill, rename_clips) for model, skill in {"ast": 0.7, "mlp": 0.4}.items()}
    change(runs["mlp"][1], transductive=True)
    document = document_of(runs)
    page = write_protocol_page(tmp_path / "p.html", runs, document, make_leaderboard(runs).comparisons)
    opened = open_page(page, width=width)
    rows = opened.page.locator("table.runs tbody tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows] == [
        [model, name] for model in runs for name in ("all clips", "mean ± deviation", "emobox:1", "emobox:2")
    ]
    uar = document["models"]["ast"]["pooled"]["ensemble"]["uar"]["value"]
    assert f"{100 * uar:.1f}\u00a0%" in rows[0]
    over = document["models"]["mlp"]["score_over_folds"]["uar"]
    assert f"{100 * over['mean']:.1f} ± {100 * over['std']:.1f}\u00a0%" in rows[5]
    assert "Transductive." in opened.page.locator("header").inner_text()
    assert opened.drawn("forest")["data"]
    assert opened.drawn("differences")["data"]
    assert sum(map(sum, document["models"]["mlp"]["pooled"]["confusion"])) == 3 * 2 * 160  # seeds, folds, clips
    for name in ("speaker_scores", "confusion", "recall", "reliability"):
        for index in range(2):
            assert opened.drawn(f"{name}-{index}")["data"]
    assert len(opened.drawn("speaker_scores-0")["layout"]["yaxis"]["ticktext"]) == 8
    assert opened.problems == []


def test_one_architecture_has_nothing_beside_it(tested: Callable[..., Path], tmp_path: Path) -> None:
    runs = {"ast": folds(tested, "ast", 0.7, rename_clips)}
    document = document_of(runs)
    document["models"]["ast"]["folds"][0]["score"]["uar"]["interval"] = [
        None,
        None,
    ]  # as where every clip is recognised
    text = write_protocol_page(tmp_path / "p.html", runs, document).read_text()
    assert "<td>no interval: all speakers score alike</td>" in text
    assert "All runs" not in text
    assert "<h1>emobox, 2 folds: ast</h1>" in text
    assert "<h1>emobox, 2 folds of 6 so far: ast</h1>" in page_of(tmp_path, runs, {**document, "of": 6})


def page_of(folder: Path, runs: dict[str, list[Path]], document: dict[str, Any]) -> str:
    return write_protocol_page(folder / "p.html", runs, document).read_text()
