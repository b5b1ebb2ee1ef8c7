"""Model cards: the numbers of result.json, the caveats, and a metadata block that model hubs read."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from huggingface_hub import ModelCard

from search.finals.confusion_picture import fonts_with, write_confusion_picture
from search.finals.model_card import model_card, write_model_cards

CONFIG = {
    "classes": ["happy", "sad"],
    "parameters": 12_345,
    "epochs": 9,
    "settings": {
        "features.kind": "log_mel", "features.clip_seconds": 3.0, "features.sample_rate_hz": 16_000,
        "features.normalisation": "corpus", "features.encoder": "none",
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


def test_the_ensemble_has_a_card_with_its_own_scores_and_intervals(result: dict[str, Any]) -> None:
    text = model_card(result, CONFIG, seed=None)
    ensemble = result["test"]["ensemble"]["uar"]
    found = {each.metric_type: each for each in ModelCard(text).data.eval_results}
    assert found["uar"].metric_value == pytest.approx(ensemble["value"], abs=1e-4)
    assert found["uar"].metric_args["interval"] == pytest.approx(ensemble["interval"], abs=1e-4)
    assert "It is the mean of 3 models that differ in the seed alone, each trained for" in text
    assert "| this model |" in text
    assert "the seeds' ensemble" not in text


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
    assert {path.name for path in (tmp_path / "final").iterdir() if path.is_file()} == {"README.md", "confusion.png"}


def test_a_configuration_that_was_taken_over_was_not_chosen_here(result: dict[str, Any]) -> None:
    assert "was chosen on validation speakers alone" in model_card(result, CONFIG, seed=1)
    taken = {**result, "warm_start": {"source": "runs/x", "test_speakers": [], "alone": True}}
    assert "The configuration was taken from runs/x, and" in model_card(taken, CONFIG, seed=1)


def renamed(result: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """The result with other words for classes."""
    changed = deepcopy(result)
    changed["corpus"]["classes"] = [names.get(word, word) for word in result["corpus"]["classes"]]
    for table in ("per_class_recall", "per_class_precision"):
        own = result["test"][table]
        changed["test"][table] = {names.get(word, word): score for word, score in own.items()}
    return changed


def test_names_of_classes_and_speakers_break_no_table(result: dict[str, Any]) -> None:
    hostile = "hap|py\n| <b>*x*"
    changed = renamed(result, {"happy": hostile})
    changed["split"]["test_speakers"] = ["a\x1b[31m|b"]
    text = model_card(changed, {**CONFIG, "classes": [hostile, "sad"]}, seed=1)
    assert "| hap\\|py \\| &lt;b&gt;\\*x\\* | " in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    cells = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    assert set(cells) == {3, 4, 5}  # settings; classes; scores
    assert "\x1b" not in text


def test_a_model_without_siblings_and_a_test_of_one_speaker_are_described_as_such(result: dict[str, Any]) -> None:
    alone = deepcopy(result)
    alone["winner"]["models"] = alone["winner"]["models"][:1]
    alone["test"]["speakers"] = 1
    for name in ("uar", "war", "macro_f1"):
        alone["test"][name].update(interval=[None, None], seed_intervals=[[None, None]])
    text = model_card(alone, {**CONFIG, "epochs": 1}, seed=1)
    assert "It is trained for 1 epoch on" in text
    assert "of 1 speaker (" in text
    assert "(no interval: one test speaker)" in text
    assert "one of 3 models" in model_card(result, CONFIG, seed=1)


def drawn(path: Path, result: dict[str, Any]) -> list[str]:
    """What matplotlib complains about while the picture is drawn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_confusion_picture(path, result)
    assert path.stat().st_size > 5_000
    return [str(each.message) for each in caught if "lyph" in str(each.message)]


@pytest.mark.parametrize("word", ["快乐", "سعيد", "freude", "$\\frac$"])
def test_no_letter_of_a_class_becomes_a_box(word: str, result: dict[str, Any], tmp_path: Path) -> None:
    assert drawn(tmp_path / "confusion.png", renamed(result, {"happy": word})) == []


def test_letters_that_no_font_has_are_known_before_drawing() -> None:
    assert fonts_with("Ärger") != ()
    assert fonts_with("\U000f0001") == ()  # for private use: no font gives it a meaning


@pytest.mark.parametrize(
    ("kind", "wanted", "needs"),
    [
        ("log_mel", "log_mel features of 3 s of mono audio at 16,000 Hz. 12,345 parameters. It is", None),
        ("functionals", "functionals features of a whole clip of mono audio at 16,000 Hz. 12,345 parameters. It", None),
        ("encoder_stats", "of a whole clip of mono audio at 16,000 Hz. 12,345 parameters beside those of its", ""),
        ("encoder", "encoder features of 3 s of mono audio at 16,000 Hz. 12,345 parameters beside those of its", ""),
        ("encoder_input", "12,345 parameters, those of its speech encoder included. It", " but for what training "),
    ],
)
def test_the_card_says_what_the_model_hears_and_which_encoder_it_needs(
    kind: str, wanted: str, needs: str | None, result: dict[str, Any]
) -> None:
    settings = {**CONFIG["settings"], "features.kind": kind, "features.encoder": "microsoft/wavlm-base"}
    text = model_card(result, {**CONFIG, "settings": settings}, seed=1)
    assert wanted in text
    own = "It needs the speech encoder `microsoft/wavlm-base`, which is not in its folder"
    assert (own in text) is (needs is not None)
    assert needs is None or own + needs in text
    assert "speech encoder `" not in model_card(
        result, {**CONFIG, "settings": {**settings, "features.encoder": "none"}}, seed=1
    )
