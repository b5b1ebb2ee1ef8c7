"""Model cards: the numbers of result.json, the caveats, and a metadata block that model hubs read."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from huggingface_hub import ModelCard

from search.finals.model_card import model_card, write_model_cards

CONFIG = {
    "classes": ["happy", "sad"],
    "parameters": 12_345,
    "epochs": 9,
    "settings": {
        "features.kind": "log_mel", "features.clip_seconds": 3.0, "features.sample_rate_hz": 16_000,
        "features.speaker_normalisation": False,
    },
}  # fmt: skip


@pytest.fixture
def result(run_maker: Callable[..., Any]) -> dict[str, Any]:
    run = run_maker("run", trials=12).search()
    run.finish()
    document: dict[str, Any] = json.loads((run.folder / "result.json").read_text())
    return document


def test_the_card_holds_the_numbers_of_the_result(result: dict[str, Any]) -> None:
    text = model_card(result, CONFIG, seed=2)
    card = ModelCard(text)  # as huggingface_hub reads it
    uar = result["test"]["uar"]
    found = {each.metric_type: each.metric_value for each in card.data.eval_results}
    assert found["uar"] == pytest.approx(uar["seeds"][1], abs=1e-4)
    assert f"{100 * uar['seeds'][1]:.1f} (" in text
    assert f"{100 * uar['mean']:.1f} ± {100 * uar['std']:.1f}" in text
    assert f"{100 * result['test']['ensemble']['uar']['value']:.1f}" in text
    assert "12,345 parameters" in text
    for word in result["corpus"]["classes"]:
        assert f"| {word} |" in text
    assert result["command"] in text
    assert result["corpus"]["licence"] in text
    for name, value in result["winner"]["params"].items():
        assert f"| `{name}` | {value} |" in text
    assert "> **" not in text  # nothing to warn of


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"corpus": {"synthetic": True}}, "Synthetic corpus"),
        ({"split": {"speaker_independent": False}}, "Not speaker-independent"),
        ({"transductive": True}, "Transductive"),
        ({"test_reads": 3}, "It was read 3 times"),
        (
            {"warm_start": {"source": "runs/x", "test_speakers": ["07"], "alone": False}},
            "began with configurations of runs/x, which was tuned on test speakers of this run (07)",
        ),
    ],
)
def test_what_nobody_may_overlook_is_said_first(result: dict[str, Any], change: dict[str, Any], warning: str) -> None:
    changed = deepcopy(result)
    for name, value in change.items():
        changed[name] = {**changed[name], **value} if isinstance(changed[name], dict) else value
    text = model_card(changed, CONFIG, seed=1)
    assert text.index("> **") < text.index("## Test")
    assert warning in text


def test_every_model_folder_gets_a_card_and_a_picture(result: dict[str, Any], tmp_path: Path) -> None:
    for name in result["winner"]["models"]:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text(json.dumps(CONFIG))
    write_model_cards(tmp_path, result)
    for name in result["winner"]["models"]:
        files = {path.name for path in (tmp_path / name).iterdir()}
        assert files == {"config.json", "README.md", "confusion.png"}
        picture = matplotlib.image.imread(tmp_path / name / "confusion.png")
        assert picture.shape[0] > 300
        assert picture.std() > 0.05


def test_a_configuration_that_was_taken_over_was_not_chosen_here(result: dict[str, Any]) -> None:
    assert "was chosen on validation speakers alone" in model_card(result, CONFIG, seed=1)
    taken = {**result, "warm_start": {"source": "runs/x", "test_speakers": [], "alone": True}}
    assert "The configuration was taken from runs/x, and" in model_card(taken, CONFIG, seed=1)
