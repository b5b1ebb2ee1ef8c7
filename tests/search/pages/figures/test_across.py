"""The heat map of a protocol that leaves one group out at a time."""

from __future__ import annotations

import json
from typing import Any

from search.pages.figures import across
from tests.search.pages.figures.test_contract import check_contract


def numbers_of(**scores: float) -> dict[str, Any]:
    """An architecture's part of protocol.json: tested corpus -> UAR."""
    folds = [
        {
            "split": f"logo:corpus:{name}",
            "test_speakers": [f"{name}/1", f"{name}/2"],
            "score": {"uar": {"value": value, "interval": [value - 0.1, value + 0.1]}},
        }
        for name, value in scores.items()
    ]
    return {"folds": folds, "corpus": {"classes": ["happy", "sad", "angry", "neutral"]}}


def test_contract() -> None:
    check_contract(across, across.info_of_folds({"mlp": numbers_of(emodb=0.5, ravdess=0.4, urdu=0.3)}))


def test_of_two_corpora_each_is_tested_by_the_other() -> None:
    info = across.info_of_folds({"mlp": numbers_of(ravdess=0.41, urdu=0.28)})
    assert info is not None
    assert [(cell.trained_on, cell.tested_on) for cell in info.cells] == [("urdu", "ravdess"), ("ravdess", "urdu")]
    drawn = json.loads(across.figure(info).to_json())
    (heat,) = drawn["data"]
    assert heat["z"] == [[41.0, None], [None, 28.0]]
    assert drawn["layout"]["yaxis"]["ticktext"] == ["urdu", "ravdess"]
    assert drawn["layout"]["xaxis"]["ticktext"] == ["ravdess", "urdu"]
    assert drawn["layout"]["annotations"][1]["text"].startswith("28.0<br>")
    assert across.reading(info) == (
        "Best is ravdess by models of urdu (41.0 % UAR), worst urdu by models of ravdess (28.0 %); guessing would "
        "have 25.0 %."
    )


def test_of_more_all_others_are_trained_on_and_architectures_have_rows_of_their_own() -> None:
    models = {"mlp": numbers_of(a=0.5, b=0.4, c=0.3), "ast": numbers_of(a=0.6, b=0.5, c=0.4)}
    info = across.info_of_folds(models)
    assert info is not None
    assert [cell.trained_on for cell in info.cells][:4] == [
        "mlp: all but a",
        "mlp: all but b",
        "mlp: all but c",
        "ast: all but a",
    ]


def test_of_pairs_every_corpus_is_tested_by_models_of_each_other() -> None:
    scores = {"a": {"b": 0.5, "c": 0.4}, "b": {"a": 0.6, "c": 0.3}, "c": {"a": 0.2, "b": None}}
    folds = [
        {
            "split": f"pairs:corpus:{trained}",
            "test_speakers": [],
            "score": {},
            "tested": {
                name: {"speakers": 3, "uar": {"value": value, "interval": [None, None]}} for name, value in row.items()
            },
        }
        for trained, row in scores.items()
    ]
    info = across.info_of_folds({"mlp": {"folds": folds, "corpus": {"classes": ["happy", "sad"]}}})
    assert info is not None
    assert [(cell.trained_on, cell.tested_on) for cell in info.cells] == [
        ("a", "b"), ("a", "c"), ("b", "a"), ("b", "c"), ("c", "a"), ("c", "b"),
    ]  # fmt: skip
    (heat,) = json.loads(across.figure(info).to_json())["data"]
    assert heat["z"] == [[None, 50.0, 40.0], [60.0, None, 30.0], [20.0, None, None]]
    assert across.reading(info).startswith(
        "Best is a by models of b (60.0 % UAR), worst a by models of c (20.0 %); guessing would have 50.0 %."
    )


def test_other_protocols_have_none() -> None:
    folds = {"mlp": {"folds": [{"split": "kfold:5:1"}], "corpus": {"classes": ["happy", "sad"]}}}
    assert across.info_of_folds(folds) is None
