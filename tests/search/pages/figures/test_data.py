"""insight.json and the figures on data and model."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from search.finals import insight
from search.pages.figures import durations, explained, model_input, parts
from search.pages.figures._insight import Axes, full_rows, grid
from search.run_folder.run_view import RunFolderError, RunView, read_run
from ser_core.architectures import architectures, default_config
from ser_core.clips import Clip, Manifest
from ser_core.config import FeatureConfig
from ser_core.features.store import FeatureStore, feature_store
from ser_core.features.transforms import mel_filters
from ser_core.modules.explain import explain
from ser_core.splits import Split
from ser_core.training.augment import augment
from ser_core.training.seeding import seeded

FIGURES = (parts, durations, model_input, explained)
CLASSES = ("angry", "calm")
FREE = {
    "ast": {"model__size": "tiny", "model__pretrained": "none"},
    "attn_crnn": {"model__pretrained": "none"},
    "mlp": {"features__kind": "mfcc_stats", "features__n_mels": 64, "features__n_mfcc": 40},
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Split]:
    """Six speakers with two clips of each of two emotions, 0.5 to 2.8 s long; the last two speakers are tested."""
    folder = tmp_path_factory.mktemp("corpus")
    rng, clips = np.random.default_rng(0), []
    for speaker in range(6):
        for number in range(4):
            path = folder / f"{speaker}-{number}.wav"
            seconds = 0.5 + 0.1 * (4 * speaker + number)
            soundfile.write(path, rng.normal(0, 0.1, round(16_000 * seconds)), 16_000)
            clips.append(
                Clip(
                    clip_id=path.stem,
                    path=path,
                    speaker=str(speaker),
                    emotion=CLASSES[number % 2],
                    gender=("female", "male", None)[speaker % 3],
                )
            )
    manifest = Manifest(corpus="noise", clips=tuple(clips), classes=CLASSES)
    rows = np.arange(24)
    return manifest, Split(kind="speaker", train=rows[:12], validation=rows[12:16], test=rows[16:])


@pytest.fixture(scope="module")
def store(corpus: tuple[Manifest, Split], tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    return feature_store(
        corpus[0], default_config("shallow_cnn").features, cache_dir=tmp_path_factory.mktemp("features")
    )


@pytest.fixture
def document(corpus: tuple[Manifest, Split], store: FeatureStore, untrained_model: Any) -> dict[str, Any]:
    predictor, _ = untrained_model("shallow_cnn", CLASSES, CLASSES)
    return insight.make_insight(predictor, *corpus, store)


def picture(pictures: dict[str, Any], clip: int, name: str) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(pictures["clips"][clip][name]), np.uint8)
    return values.reshape(pictures["rows"], pictures["columns"])


# -- what is computed -------------------------------------------------------------------------------------------------


def test_pictures_know_validation_clips_alone(
    corpus: tuple[Manifest, Split], store: FeatureStore, document: dict[str, Any], untrained_model: Any
) -> None:
    """Features and labels of all other clips are replaced by NaN and by another class: nothing changes."""
    manifest, split = corpus
    frames, labels = store.frames.copy(), store.truth.copy()
    for row in np.concatenate([split.train, split.test]):
        frames[slice(*store.bounds[row])] = np.nan
        labels[row] = 1 - labels[row]
    predictor, _ = untrained_model("shallow_cnn", CLASSES, CLASSES)
    poisoned = insight.make_insight(predictor, manifest, split, replace(store, frames=frames, truth=labels))
    assert json.dumps(poisoned, allow_nan=False) == json.dumps(document, allow_nan=False)
    validation = {manifest.clips[row].clip_id for row in split.validation}
    assert [clip["clip_id"] for clip in document["pictures"]["clips"]] == ["3-0", "3-1"]
    assert {clip["clip_id"] for clip in document["pictures"]["clips"]} <= validation


def test_only_validation_rows_are_handed_on(
    corpus: tuple[Manifest, Split], store: FeatureStore, untrained_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []
    monkeypatch.setattr(insight, "draw_pictures", lambda predictor, clips, rows: seen.append(rows.clip_ids))
    predictor, _ = untrained_model("shallow_cnn", CLASSES, CLASSES)
    insight.make_insight(predictor, *corpus, store)
    assert seen == [("3-0", "3-1")]


def test_counts_and_durations(document: dict[str, Any]) -> None:
    assert document["parts"] == {
        "train": {"clips": 12, "classes": {"angry": 6, "calm": 6}, "speakers": {"female": 1, "male": 1, "unstated": 1}},
        "validation": {"clips": 4, "classes": {"angry": 2, "calm": 2}, "speakers": {"female": 1}},
        "test": {"clips": 8, "classes": {"angry": 4, "calm": 4}, "speakers": {"male": 1, "unstated": 1}},
    }
    found = document["durations"]
    assert {part: sum(counts) for part, counts in found["clips"].items()} == {"train": 12, "validation": 4, "test": 8}
    assert [found[f"{name}_seconds"] for name in ("shortest", "median", "longest")] == pytest.approx([0.5, 1.65, 2.8])
    assert (found["clip_seconds"], found["longer_share"], found["whole_clips"]) == (3.0, 0.0, False)


def test_a_large_corpus_is_measured_in_part(corpus: tuple[Manifest, Split], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(insight, "MOST_DURATIONS", 6)
    found = insight.measure_durations(*corpus, default_config("mlp").features)
    assert sum(sum(counts) for counts in found["clips"].values()) == 6
    assert (found["shortest_seconds"], found["longest_seconds"]) == pytest.approx((0.5, 2.8))
    assert found["whole_clips"] is True


def test_pictures_are_the_models_input_its_augmentation_and_its_map(
    corpus: tuple[Manifest, Split], store: FeatureStore, document: dict[str, Any], untrained_model: Any
) -> None:
    """To half a step of the 256, against the code that trains."""
    predictor, _ = untrained_model("shallow_cnn", CLASSES, CLASSES)
    pictures, settings = document["pictures"], predictor.config.augment
    features_of = predictor.config.features
    features, lengths = predictor.inputs(store.select([12, 13]))
    with seeded(insight.AUGMENT_SEED, 1, torch.device("cpu")):
        altered, _, _ = augment(features, lengths, torch.zeros(2, 2), settings, of=features_of)
    label = predictor.predict_store(store.select([12, 13])).argmax(axis=1)
    maps = explain(predictor.model, features, lengths, torch.tensor(label))
    step = (pictures["high"] - pictures["low"]) / 255
    bins = features_of.n_mels  # derivatives, which follow them, are not drawn
    features, altered, maps = features[..., :bins], altered[..., :bins], maps[..., :bins]
    for clip in range(2):
        for name, expected in (("features", features), ("augmented", altered)):
            values = expected[clip].T.numpy().clip(pictures["low"], pictures["high"])  # (bins, frames)
            assert np.abs(pictures["low"] + step * picture(pictures, clip, name) - values).max() <= 0.51 * step
        assert np.abs(picture(pictures, clip, "map") / 255 - maps[clip].T.numpy()).max() <= 0.51 / 255
        assert pictures["clips"][clip]["real_columns"] == lengths[clip]
        assert pictures["clips"][clip]["predicted"] == CLASSES[label[clip]]
    assert pictures["altered"] is True
    assert (pictures["y"], pictures["column_step"]) == ("frequency, Hz", pytest.approx(0.04))


@pytest.mark.parametrize("name", architectures())
def test_every_architecture_has_pictures_of_bounded_size(name: str, untrained_model: Any) -> None:
    classes = [f"emotion {number}" for number in range(insight.MOST_CLIPS)]
    predictor, store = untrained_model(name, classes, classes, **FREE.get(name, {}))
    clips = [
        Clip(clip_id=c, path=Path(c), speaker="s", emotion=e) for c, e in zip(store.clip_ids, classes, strict=True)
    ]
    pictures = insight.draw_pictures(predictor, clips, store)
    assert len(json.dumps(pictures, allow_nan=False)) < 600_000
    assert pictures["rows"] <= insight.MOST_ROWS
    assert pictures["columns"] <= insight.MOST_COLUMNS
    tops = [picture(pictures, clip, "map").max() for clip in range(len(clips))]
    if name != "boosting":  # it has no tree before it is fitted, so nothing moves its scores
        assert max(tops) > 150  # an average over neighbours may lie below 255
    if name == "mlp":
        assert (pictures["rows"], pictures["columns"], pictures["x"]) == (4, 40, "cepstral coefficient")
        assert pictures["altered"] is False
        features, _ = predictor.inputs(store)
        step = (pictures["high"] - pictures["low"]) / 255
        second = features[0, 0, 40:80].numpy().clip(pictures["low"], pictures["high"])  # deviations over time
        assert np.abs(pictures["low"] + step * picture(pictures, 0, "features")[1] - second).max() <= 0.51 * step


def test_functionals_are_drawn_as_some_of_their_values(untrained_model: Any) -> None:
    predictor, store = untrained_model("mlp", CLASSES, CLASSES, features__kind="functionals", features__n_mels=200)
    clips = [
        Clip(clip_id=c, path=Path(c), speaker="s", emotion=e) for c, e in zip(store.clip_ids, CLASSES, strict=True)
    ]
    pictures = insight.draw_pictures(predictor, clips, store)
    assert (pictures["rows"], pictures["columns"], pictures["x"]) == (insight.MOST_ROWS, 1, "whole clip")
    axes = Axes.of(pictures)
    drawn = grid([("", [])], axes, columns=1, row_pixels=100, narrow=False)
    assert not drawn.layout.xaxis.showticklabels  # one column has no place of its own on an axis
    features, _ = predictor.inputs(store)
    assert insight._plane(features, predictor.config.features)[:, 0, 0].tolist() == features[:, 0, 0].tolist()


def test_every_kind_of_features_has_words_for_the_page() -> None:
    kinds = {item.name: item.metadata["choices"] for item in fields(FeatureConfig)}["kind"]
    assert set(model_input.KINDS) == set(kinds)


def test_ticks_stand_where_filters_have_their_centre() -> None:
    settings = default_config("shallow_cnn").features
    filters = mel_filters(settings).numpy()  # (points, bins)
    for row, text in insight._frequency_ticks(settings, settings.n_mels):
        point = float(text.replace(",", "")) / settings.sample_rate_hz * 2 * (len(filters) - 1)
        peak = filters[round(point)].argmax()
        assert abs(peak - row) <= 1
    assert [text for _, text in insight._frequency_ticks(settings, 32)] == ["250", "1,000", "2,000", "4,000"]


# -- a run must not be lost for it ------------------------------------------------------------------------------------


def test_what_goes_wrong_is_told(
    corpus: tuple[Manifest, Split], store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    insight.write_insight(tmp_path, "final/gone", *corpus, store, log=told.append)
    assert "insight.json could not be written (ArtifactError: " in told[0]
    assert told[0].endswith("result.json is complete")

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(insight, "load_model", lambda folder: None)
    monkeypatch.setattr(insight, "make_insight", lambda *_: {"parts": 1})
    monkeypatch.setattr("os.replace", full)
    insight.write_insight(tmp_path, "final", *corpus, store, log=told.append)
    assert "no space left on device" in told[1]
    assert list(tmp_path.iterdir()) == []


def test_an_old_run_has_none_and_a_torn_file_is_named(run_maker: Callable[..., Any]) -> None:
    maker = run_maker("run").search(3).finish()
    path = maker.folder / "insight.json"
    path.write_text('{"parts": {}}')
    with pytest.raises(RunFolderError, match=r"insight\.json: it lacks model, durations, pictures; delete it"):
        read_run(maker.folder)
    path.unlink()
    run = read_run(maker.folder)
    assert run.insight is None
    assert [module.info(run) for module in FIGURES] == [None] * 4
    assert {module.EMPTY for module in FIGURES} == {parts.EMPTY}


# -- what is drawn ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shown(run_maker: Callable[..., Any], document: dict[str, Any]) -> RunView:
    maker = run_maker("run").search(3)
    (maker.folder / "insight.json").write_text(json.dumps({"model": "final/m", **document}))
    return read_run(maker.folder)


def test_parts_are_stacked_with_emotions_above_genders(shown: RunView) -> None:
    info = parts.info(shown)
    assert info is not None
    assert info.clips == {"angry": (6, 2, 4), "calm": (6, 2, 4)}
    assert info.speakers == {"female": (1, 1, 0), "male": (1, 0, 1), "unstated": (1, 0, 1)}
    assert "12 clips of 3 speakers to train on, 4 of 1 to validate, 8 of 2 to test, no speaker in" in parts.reading(
        info
    )
    drawn = parts.figure(info)
    assert [(bar.name, bar.yaxis, list(bar.x)) for bar in drawn.data] == [
        ("train", "y", [6, 6]), ("validation", "y", [2, 2]), ("test", "y", [4, 4]),
        ("train", "y2", [1, 1, 1]), ("validation", "y2", [1, 0, 0]), ("test", "y2", [0, 1, 1]),
    ]  # fmt: skip
    assert parts.table(info)[2] == {"counted": "speakers", "group": "female", "train": 1, "validation": 1, "test": 0}
    mixed = replace(info, apart=False)
    assert "speakers in several parts" in parts.reading(mixed)
    assert parts.figure(mixed).layout.xaxis2.title.text == "speakers, counted in each part"


def test_durations_say_what_is_cut(shown: RunView) -> None:
    info = durations.info(shown)
    assert info is not None
    assert sum(sum(bar.y) for bar in durations.figure(info).data) == 24
    assert [shape.x0 for shape in durations.figure(info).layout.shapes] == [3.0]
    assert "given 3 s of each, so 0.0 % are cut and the rest is padded" in durations.reading(info)
    assert "cut away (below 40 dB of the peak)" in durations.reading(replace(info, trim_db=40.0))
    whole = replace(info, taken=None)
    assert "each clip as a whole" in durations.reading(whole)
    assert not durations.figure(whole).layout.shapes
    assert sum(row["test_clips"] for row in durations.table(info)) == 8  # type: ignore[misc]


def test_input_is_drawn_beside_its_alteration_without_padding(shown: RunView) -> None:
    info = model_input.info(shown)
    assert info is not None
    assert "one draw of 2 frequency masks of up to 10 bins and 2 time masks of up to 12 frames." in model_input.reading(
        info
    )
    assert "(faintest) to " in model_input.reading(info)
    earlier = {"speed_change": 0.1, "gain_db": 6.0, **dict.fromkeys(("noise_std", "mixup_alpha", "time_masks"), 0.0)}
    said = model_input.reading(replace(info, augment={**earlier, "freq_masks": 0}))
    assert said.endswith("beside it one draw of speed changed by 10.0 % and a gain of up to 6 dB.")
    drawn = model_input.figure(info)
    assert [note.text for note in drawn.layout.annotations][:4] == ["angry", "angry, altered", "calm", "calm, altered"]
    pictures = shown.insight["pictures"]  # type: ignore[index]
    for clip in range(2):
        real = pictures["clips"][clip]["real_columns"]
        assert real < pictures["columns"]
        for trace, name in ((2 * clip, "features"), (2 * clip + 1, "augmented")):
            assert np.array_equal(drawn.data[trace].z, picture(pictures, clip, name)[:, :real])
    assert all(0 < row["altered_percent"] < 100 for row in model_input.table(info))  # type: ignore[operator]
    assert [full_rows(panels) for panels in (1, 3, 4, 6, 7, 8, 9, 12)] == [4, 3, 4, 3, 4, 4, 3, 4]
    plain = replace(info, altered=False)
    assert len(model_input.figure(plain).data) == 2
    assert model_input.reading(plain).endswith("training leaves it as it is.")


def test_map_lies_over_the_features(shown: RunView) -> None:
    info = explained.info(shown)
    assert info is not None
    drawn = explained.figure(info)
    pictures = shown.insight["pictures"]  # type: ignore[index]
    for clip in range(2):
        below, above = drawn.data[2 * clip : 2 * clip + 2]
        assert below.xaxis == above.xaxis
        assert np.array_equal(above.z, picture(pictures, clip, "map"))
    text = explained.reading(info)
    assert text.startswith("Grad-CAM (Selvaraju et al. 2017")
    assert [trace.zsmooth for trace in drawn.data] == [False, "best"] * 2
    counted = explained.figure(replace(info, axes=replace(info.axes, counted=True)))
    assert {trace.zsmooth for trace in counted.data} == {False}  # neighbours that are counted have nothing between them
    assert "The refit has trained on these clips" in text
    nothing = replace(info, clips=(replace(info.clips[0], map=np.zeros_like(info.clips[0].map)), info.clips[1]))
    assert "of 1 clip it shows nothing" in explained.reading(nothing)
    assert explained.table(nothing)[0]["map_centre"] is None
    columns = np.zeros_like(info.clips[0].map)
    columns[:, 10] = 200
    at_ten = replace(info, clips=(replace(info.clips[0], map=columns),))
    assert explained.table(at_ten)[0]["map_centre"] == pytest.approx(10.5 * 0.04)


def test_a_page_holds_a_byte_per_value(shown: RunView) -> None:
    info = explained.info(shown)
    assert info is not None
    spec = json.loads(explained.figure(info).to_json())["data"][1]["z"]
    assert (spec["dtype"], spec["shape"]) == ("u1", "64, 75")
    assert spec["bdata"] == shown.insight["pictures"]["clips"][0]["map"]  # type: ignore[index]
