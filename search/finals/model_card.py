"""The card of every model and of their ensemble: what it is, how it was tuned and tested, what it may be used for.

A `README.md` with the metadata block that model hubs read (Mitchell et al. 2019, "Model cards for model reporting"),
beside `confusion.png`. Everything in it comes from `result.json` and the model's own `config.json`.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from search.finals.confusion_picture import write_confusion_picture
from search.finals.scatter_picture import write_scatter_picture
from search.run_folder.architectures import result_model
from search.run_folder.caveat_facts import facts_of_result
from search.run_folder.run_score import headline_of, run_score, scores_of_result, validation_score
from search.run_folder.start_text import start_sentences
from search.run_folder.verdict import tuning_note, tuning_sentence
from search.wording import Bounds, caveats, count, interval, is_number, points, printable, rating_scales, spread, times
from ser_core.config import BY_SPEAKER, CLIP_VECTORS, ENCODER_KINDS
from ser_core.licences import terms_of
from ser_core.modules.encoder_families import NO_WEIGHTS
from ser_core.named_scores import UAR, Score
from ser_core.targets import DIMENSIONS
from ser_core.whole_file import replacing, write_whole
from spaces.several import chosen_settings

CARD_FILE, PICTURE_FILE, SCATTER_FILE = "README.md", "confusion.png", "scatter.png"
PICTURES = (PICTURE_FILE, SCATTER_FILE)
"""Of which a card shows one."""
THIS_MODEL = "this model"
"""The column of the table of scores in which the model's own stand."""


def write_model_cards(run_folder: Path, result: Mapping[str, Any]) -> None:
    """Write a card and a picture into each of the run's model folders, and into the folder of their ensemble.

    Args:
        result: as `search.finals.result.make_result` makes it.

    Raises:
        OSError: a folder that cannot be written.
    """
    folders = [run_folder / name for name in result["winner"]["models"]]
    picture = write_picture(folders[0].parent, result)
    for seed, folder in enumerate(folders, 1):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        with replacing(folder / picture.name) as temporary:
            shutil.copyfile(picture, temporary)
        write_whole(folder / CARD_FILE, model_card(result, config, seed))
    write_whole(folders[0].parent / CARD_FILE, model_card(result, config, None))


def write_picture(folder: Path, result: Mapping[str, Any]) -> Path:
    """The picture of the test that a card shows, which suits what is predicted."""
    if _predicts_ratings(result):
        return write_scatter_picture(folder / SCATTER_FILE, result)
    return write_confusion_picture(folder / PICTURE_FILE, result)


def model_card(result: Mapping[str, Any], config: Mapping[str, Any], seed: int | None) -> str:
    """The card of the refit with `seed`, counted from 1, or of all as an ensemble: Markdown with a metadata block.

    Args:
        config: of the model folder, see `ser_core.artifact`.
    """
    corpus = result["corpus"]
    parts = [
        f"---\n{_metadata(result, seed).to_yaml()}\n---",
        f"# {result_model(result)} for speech emotion recognition, trained on {markdown(corpus['name'])}",
        *(f"> **{caveat.title}** {markdown(caveat.long)}" for caveat in caveats(facts_of_result(result))),
        _description(result, config, seed),
        f"## Test\n\n{_protocol(result)}\n\n{_score_table(result, seed)}\n\n{result['test']['interval_note']}.",
        _by_output(result),
        f"## Corpus\n\n{_corpus(corpus, _predicts_ratings(result))}",
        f"## Use\n\n{_usage(config)}",
        f"## How it was made\n\n    {printable(result['command'])}\n\n{_search(result)}",
    ]
    return "\n\n".join(parts) + "\n"


def _metadata(result: Mapping[str, Any], seed: int | None) -> ModelCardData:
    corpus, split = result["corpus"], result["split"]["kind"]
    name = f"{result['model']}-{corpus['name']}-{'ensemble' if seed is None else f'seed-{seed}'}"
    evaluations = []
    for score in scores_of_result(result):
        value, bounds = _score_of(result["test"], score.name, seed)
        evaluations.append(
            EvalResult(
                task_type="audio-classification",
                dataset_type=corpus["name"],
                dataset_name=corpus["name"],
                dataset_config=f"split {split}",
                dataset_split="test",
                metric_type=score.name,
                metric_name=f"{score.label} ({score.meaning})",
                metric_value=round(value, 4),
                metric_args=_interval_args(bounds),
            )
        )
    terms = terms_of(corpus["licence"])
    return ModelCardData(
        library_name="ser-search",
        pipeline_tag="audio-classification",
        license=terms.hub_name,
        license_name=terms.own_name or None,
        tags=["speech-emotion-recognition", *(["synthetic"] if corpus["synthetic"] else [])],
        datasets=[corpus["name"]],
        model_name=name,
        eval_results=evaluations,
    )


def _score_of(test: Mapping[str, Any], metric: str, seed: int | None) -> tuple[float, Bounds]:
    """A score of one refit, or of the ensemble, with its interval over speakers."""
    if seed is None:
        own = test["ensemble"][metric]
        return own["value"], own["interval"]
    return test[metric]["seeds"][seed - 1], test[metric]["seed_intervals"][seed - 1]


def _interval_args(bounds: Bounds) -> dict[str, Any] | None:
    """An interval as the metadata block has it, which knows values alone: as arguments of the metric."""
    low, high = bounds
    if not (is_number(low) and is_number(high)):
        return None
    return {"interval": [round(low, 4), round(high, 4)], "confidence": 0.95, "resampled": "speakers"}


def _description(result: Mapping[str, Any], config: Mapping[str, Any], seed: int | None) -> str:
    settings, models = config["settings"], len(result["winner"]["models"])
    if seed is None:
        one = f"the mean of {count(models, 'model')} that differ in the seed alone, each "
        ensemble = " It is the default model of the run; each of them is in a folder of its own."
    else:
        one = f"one of {models} models that differ in the seed alone, with seed {seed}, " if models > 1 else ""
        above = " The ensemble of them all, in the folder above, is the default model of the run."
        ensemble = above if models > 1 else ""
    what = f"the probability of {count(len(config['classes']), 'emotion')} in"
    if _predicts_ratings(result):
        what = f"a rating of {count(len(config['classes']), 'dimension')} for"
    return (
        f"It gives {what} a clip of speech: "
        f"{markdown(', '.join(config['classes']))}. Input: {_input(settings)}. {config['parameters']:,} parameters"
        f"{_whose_parameters(settings)}. It is {one}trained for {count(config['epochs'], 'epoch')} on the training and "
        f"validation speakers together.{ensemble}{_began(result)}"
    )


def _input(settings: Mapping[str, Any]) -> str:
    kind = settings["features.kind"]
    part = "a whole clip" if kind in CLIP_VECTORS else f"{settings['features.clip_seconds']:g} s"
    return f"{kind} features of {part} of mono audio at {settings['features.sample_rate_hz']:,} Hz"


def _whose_parameters(settings: Mapping[str, Any]) -> str:
    """Whether a count of parameters has those of a speech encoder in it; "" without one."""
    kind = settings["features.kind"]
    if kind not in ENCODER_KINDS:
        return ""
    return (
        ", those of its speech encoder included" if kind == "encoder_input" else " beside those of its speech encoder"
    )


def _began(result: Mapping[str, Any]) -> str:
    """What its weights began with, as a paragraph; "" for those that began at random or with weights of a hub."""
    sentences = start_sentences(result.get("start"), result["corpus"]["classes"])
    return f"\n\n{markdown(sentences)}" if sentences else ""


def _protocol(result: Mapping[str, Any]) -> str:
    split, test = result["split"], result["test"]
    apart = "kept apart from all others" if split["speaker_independent"] else "heard in training too"
    return (
        f"Split `{split['kind']}`: {count(test['clips'], 'test clip')} of {count(test['speakers'], 'speaker')} "
        f"({markdown(', '.join(split['test_speakers']))}), {apart}. The configuration was {_chosen(result)}, and the "
        f"test set was read {times(result['test_reads'])}."
    )


def _chosen(result: Mapping[str, Any]) -> str:
    warm = result["warm_start"]
    if warm is not None and warm["alone"]:
        return f"taken from {markdown(warm['source'])}"
    return f"chosen on {'inner folds' if result['split']['inner_folds'] else 'validation speakers'} alone"


def _score_table(result: Mapping[str, Any], seed: int | None) -> str:
    test, speakers = result["test"], result["test"]["speakers"]
    models = {THIS_MODEL: None} if seed is None else {"the seeds' ensemble": None, THIS_MODEL: seed}
    rows = []
    for score in scores_of_result(result):
        own = (_score_of(test, score.name, each) for each in models.values())
        cells = [_with_interval(score.digits(value), bounds, speakers, score) for value, bounds in own]
        over = test[score.name]
        mean = spread(over["mean"], over["std"], score=score, unit="")
        cells.append(_with_interval(mean, over["interval"], speakers, score))
        rows.append([f"{score.label} ({score.meaning}{', %' if score.percent else ''})", *cells])
    return _table(["with 95 % interval over speakers", *models, "mean ± deviation over seeds"], rows)


def _by_output(result: Mapping[str, Any]) -> str:
    """The scores of every class or dimension, and a picture of the test clips."""
    if _predicts_ratings(result):
        return f"## By dimension\n\n{_dimension_table(result)}\n\n![Predicted over rated, test clips]({SCATTER_FILE})"
    return f"## By class\n\n{_class_table(result)}\n\n![Confusion of the test clips]({PICTURE_FILE})"


def _predicts_ratings(result: Mapping[str, Any]) -> bool:
    return bool(result.get("target", {}).get("kind") == DIMENSIONS)


def _dimension_table(result: Mapping[str, Any]) -> str:
    test, scores = result["test"], scores_of_result(result)
    rows = []
    for name in result["target"]["names"]:
        own = [(score, test["per_dimension"][name][score.name]["ensemble"]) for score in scores]
        cells = (_with_interval(s.digits(each["value"]), each["interval"], test["speakers"], s) for s, each in own)
        rows.append([markdown(name), *cells])
    return _table(["the seeds' ensemble", *(score.label for score in scores)], rows)


def _class_table(result: Mapping[str, Any]) -> str:
    test = result["test"]
    speakers = 1 if test["speakers"] == 1 else None  # of several, some may have no clip of a class
    rows = []
    for word in result["corpus"]["classes"]:
        own = [test[f"per_class_{name}"][word] for name in ("recall", "precision")]
        scores = (_with_interval(points(score["mean"]), score["interval"], speakers) for score in own)
        rows.append([markdown(word), *scores])
    return _table(["%, mean over seeds", "recall", "precision"], rows)


def _corpus(corpus: Mapping[str, Any], ratings: bool) -> str:
    facts = f"{markdown(corpus['name'])}: {count(corpus['clips'], 'clip')} of {count(corpus['speakers'], 'speaker')}"
    skipped = f", {count(len(corpus['skipped']), 'unusable file')} left out" if corpus["skipped"] else ""
    licence = f"Licence: {corpus['licence']}." if corpus["licence"] else "Its licence is not known to this program."
    scales = f" {markdown(rating_scales(corpus['classes'], corpus.get('scales', {})))}" if ratings else ""
    return f"{facts}{skipped}.{scales} {licence} {markdown(corpus['citation'])}".rstrip()


def _usage(config: Mapping[str, Any]) -> str:
    speaker = " --one-speaker" if config["settings"]["features.normalisation"] == BY_SPEAKER else ""
    return (
        f"    ser predict FOLDER clip.wav{speaker}\n\n{_encoder(config['settings'])}"
        "The weights are `model.safetensors`, all else `config.json`; neither holds code. The model was trained on the "
        "speech of one corpus: on other languages, microphones, or emotions that nobody acted, expect less. It must "
        "not be used to judge people."
    )


def _encoder(settings: Mapping[str, Any]) -> str:
    """What else is needed of a speech encoder, as a paragraph; "" without one, or for one with random weights."""
    name = settings["features.encoder"]
    if settings["features.kind"] not in ENCODER_KINDS or name == NO_WEIGHTS:
        return ""
    changed = " but for what training changed of it" if settings["features.kind"] == "encoder_input" else ""
    return (
        f"It needs the speech encoder `{printable(name)}`, which is not in its folder{changed}: a model of the hub, or "
        f"a folder on the machine where it is used. That encoder's licence holds beside the corpus's.\n\n"
    )


def _search(result: Mapping[str, Any]) -> str:
    search, best = result["search"], result["search"]["best"]
    trials = sum(search["trials"].values())
    score = headline_of(result)
    finalist = next(each for each in result["finalists"] if each["trial"] == result["winner"]["trial"])
    mean, found = validation_score(finalist, score)["mean"], validation_score(best, score)
    settings = [
        [f"`{name}`", markdown(value)]
        for name, value in chosen_settings({**result["winner"]["fixed"], **result["winner"]["params"]}).items()
    ]
    own = run_score(result["test"], score.name)
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return (
        f"{count(trials, 'trial')}. Validation {score.label} of the best trial: {score.text(found)}; of the winner, "
        f"mean over fresh seeds: {score.text(mean)}; on the test: {score.text(own.value)} ({own.of}).\n\n"
        f"{_worth(result)}{_table(['setting', 'value'], settings)}\n\n{versions}"
    )


def _worth(result: Mapping[str, Any]) -> str:
    """What tuning was worth, as a paragraph; "" for a run that does not say."""
    sentence = tuning_sentence(result)
    return f"{markdown(f'{sentence} {tuning_note(result)}')}\n\n" if sentence else ""


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def markdown(text: object) -> str:
    """Text as Markdown shows it: no markup, no end of a table's cell, one line."""
    words = " ".join(printable(text).split())
    escaped = re.sub(r"[\\`*\[\]|~]|\b_(?!\w)|(?<!\w)_", r"\\\g<0>", words)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _with_interval(text: str, bounds: Bounds, speakers: int | None, score: Score = UAR) -> str:
    return f"{text} ({interval(bounds, speakers=speakers, score=score, unit='')})"
