"""Plans: what the options make of a space, which features it asks for, and what a resumed run may not change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search.driver.asked_space import asked_space
from search.driver.options import Options
from search.driver.planning import inner_of, make_plan, wanted_folds
from search.driver.space import early_features, resolve_space
from search.driver.targets import check_losses, objective_of
from search.run_folder.limits import Limits
from search.run_folder.plan import FINALS_RULES, SearchPlan
from search.run_folder.rungs import AUTO
from search.run_folder.scoring import EARLIER_SCORING, Scoring
from ser_core.architectures import default_config
from ser_core.clips import Clip, Manifest
from ser_core.config import ConfigError
from ser_core.features.transforms import settings_key
from ser_core.splits import make_split
from ser_core.training.losses import CLASS_SETTINGS
from spaces import space_for
from spaces.knobs import Choice, Float, Space, When


def resolve(model: str, **options: Any) -> Any:
    return resolve_space(model, **{"sets": (), "spaces": (), "max_epochs": None, "pretrained": None, **options})


def make_manifest(clips_per_emotion: int = 2) -> Manifest:
    clips = [
        Clip(clip_id=f"{speaker}-{emotion}-{take}", path=Path("x.wav"), speaker=f"s{speaker}", emotion=emotion)
        for speaker in range(6)
        for emotion in ("happy", "sad")
        for take in range(clips_per_emotion)
    ]
    return Manifest(corpus="made", clips=tuple(clips), classes=("happy", "sad"))


def plan_for(manifest: Manifest, model: str = "mlp", **options: Any) -> SearchPlan:
    space, fixed = resolve(model)
    rest = {
        "model": model, "data": "made.csv", "classes": None, "skip_bad": False, "grace_epochs": None, "reduction": 3.0,
        "finalists": 2, "seeds": 2, "folds": 1, "sampler": "tpe", "seed": 0, "limits": Limits(), **options,
    }  # fmt: skip
    return make_plan(manifest, make_split(manifest, "speaker", 0), space, fixed, **rest)


def test_a_fixed_setting_is_no_knob_and_reaches_the_configuration() -> None:
    space, fixed = resolve("mlp", sets=["optim.batch_size=16", "optim.clip_norm=1"], max_epochs=7)
    assert "optim.batch_size" not in space.knobs
    assert fixed == {"optim.batch_size": 16, "optim.clip_norm": 1.0, "optim.epochs": 7}
    assert default_config("mlp", fixed).optim.epochs == 7
    assert not any("optim.batch_size" in params for params in space.first)


def test_a_narrowed_knob_keeps_the_others_and_drops_first_values_outside() -> None:
    space, _ = resolve("ast", spaces=["optim.learning_rate=1e-3:1e-2:log"])
    assert space.knobs["optim.learning_rate"] == Float(low=1e-3, high=1e-2, log=True)
    assert set(space.knobs) == set(space_for("ast").knobs)
    assert not any("optim.learning_rate" in params for params in space.first)  # the published 5e-5 is outside


def test_a_setting_that_is_no_knob_can_become_one() -> None:
    space, _ = resolve("mlp", spaces=["optim.schedule=onecycle,cosine", "optim.clip_norm=1:10"])
    assert space.knobs["optim.schedule"] == Choice(values=("onecycle", "cosine"))
    assert space.knobs["optim.clip_norm"] == Float(low=1.0, high=10.0)


def test_pretrained_reaches_only_models_that_have_it() -> None:
    assert resolve("ast", pretrained="none")[1] == {"model.pretrained": "none"}
    with pytest.raises(ConfigError, match="shallow_cnn has no pretrained weights and takes only a trained shallow_cnn"):
        resolve("shallow_cnn", pretrained="none")


def test_only_settings_that_change_the_stored_features_ask_for_another_store() -> None:
    space, fixed = resolve("shallow_cnn", spaces=["features.clip_seconds=1.0:3.0"], sets=["features.deltas=1"])
    assert list(early_features("shallow_cnn", space, fixed)) == [settings_key(default_config("shallow_cnn").features)]
    space, fixed = resolve("shallow_cnn", spaces=["features.n_mels=40,64", "features.deltas=0,1"])
    assert len(early_features("shallow_cnn", space, fixed)) == 4


def test_tuned_layers_of_an_encoder_decide_the_features_and_other_model_knobs_do_not() -> None:
    fixed = {"model.pretrained": "none"}
    assert len(early_features("attn_crnn", space_for("attn_crnn").fixed(fixed), fixed)) == 1
    space, fixed = resolve("attn_crnn", spaces=["model.tuned_layers=0,2"], pretrained="none")
    found = early_features("attn_crnn", space, fixed)
    assert {features.encoder_layer for features in found.values()} == {-1, 10}  # -1 is the last of 12


@pytest.mark.parametrize("knob", ["features.low_hz=20.0:80.0", "features.n_mels=40:60", "features.hop_ms=5:20"])
def test_of_more_kinds_than_a_few_the_first_configurations_alone_are_computed_early(knob: str) -> None:
    space, fixed = resolve("shallow_cnn", spaces=[knob])
    assert early_features("shallow_cnn", space, fixed) == {}  # none of them says what the new knob is to be
    name = knob.partition("=")[0]
    value = space.knobs[name].high
    first = tuple({**params, name: value} for params in space.first)
    early = early_features("shallow_cnn", replace(space, first=first), fixed)
    assert list(early) == [settings_key(default_config("shallow_cnn", {name: value}).features)]


def test_a_knob_that_is_not_active_asks_for_no_features() -> None:
    space = Space(
        knobs={
            "features.kind": Choice(values=("mfcc_stats", "mfcc")),
            "features.deltas": Choice(values=(0, 1, 2), when=When(name="features.kind", values=("mfcc",))),
        }
    )
    kinds = {(each.kind, each.deltas) for each in early_features("mlp", space, {}).values()}
    assert kinds == {("mfcc_stats", 0), ("mfcc", 0), ("mfcc", 1), ("mfcc", 2)}


def test_features_whose_settings_do_not_fit_one_another_are_refused() -> None:
    space, fixed = resolve("mlp", spaces=["features.normalisation=corpus,clip"])
    with pytest.raises(ConfigError, match=r"features\.normalisation = clip needs several frames"):
        early_features("mlp", space, fixed)


def test_a_plan_survives_its_file(tmp_path: Path) -> None:
    plan = plan_for(make_manifest(), model="cnn_lstm")
    plan.save(tmp_path)
    read = SearchPlan.load(tmp_path)
    assert read.differences(plan) == []
    assert read.limits == plan.limits
    assert read.knobs == plan.knobs == resolve("cnn_lstm")[0]


def test_plans_say_who_is_in_which_part() -> None:
    plan = plan_for(make_manifest())
    parts = [set(getattr(plan.speakers, part)) for part in ("fit", "validation", "test")]
    assert set.union(*parts) == {f"s{number}" for number in range(6)}
    assert sum(map(len, parts)) == 6
    assert plan.speaker_independent
    assert plan.grace_epochs == -(-plan.max_epochs // 5)


def test_limits_may_change_on_resume_and_nothing_else() -> None:
    plan = plan_for(make_manifest())
    assert plan.differences(replace(plan, limits=Limits(trials=500), command="other", data="moved.csv")) == []
    other = plan_for(make_manifest(clips_per_emotion=3))
    (corpus,) = plan.differences(other)
    assert corpus.startswith("corpus: clips 24, fingerprint ")
    assert " in the run, clips 36, fingerprint " in corpus
    assert "classes" not in corpus
    assert plan.differences(replace(plan, reduction=4.0)) == ["reduction: 3.0 in the run, 4.0 now"]
    narrowed = replace(plan, space={name: plan.space[name] for name in list(plan.space)[1:]})
    assert plan.differences(narrowed)[0].startswith("space: ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"finalists": 0}, "--finalists must be at least 1; got 0"),
        ({"reduction": 1.0}, "--reduction must be above 1; got 1"),
        ({"sampler": "grid", "seeds": 0}, r"(?s)--seeds must be.*--sampler must be one of"),
        ({"limits": Limits(address="ray://head:10001")}, "got ray://head:10001. Through ray:// .Ray Client., Ray Tune"),
        ({"limits": Limits(hours=0.0, concurrency=-1)}, r"(?s)--hours must be above 0.*--concurrency"),
    ],
)
def test_bad_plans_name_every_option_at_fault(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_for(make_manifest(), **options)


def test_a_plan_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"model": "mlp"}')
    with pytest.raises(ConfigError, match=r"plan\.json is not a plan that this version can read"):
        SearchPlan.load(tmp_path)


def test_inner_folds_are_part_of_the_plan_and_hold_every_speaker_but_the_test_ones() -> None:
    manifest = make_manifest()
    plan = plan_for(manifest, folds=2)
    validated = [name for names in plan.inner_folds for name in names]
    assert sorted(validated) == sorted({*plan.speakers.fit, *plan.speakers.validation})
    assert not set(validated) & set(plan.speakers.test)
    with pytest.raises(ConfigError, match="--folds must be a whole number of at least 1, or auto; got 0"):
        plan_for(manifest, folds=0)
    assert "folds: 2 in the run, 1 now" in plan.differences(plan_for(manifest))


def test_folds_one_after_another_are_those_that_the_speakers_allow_and_multiply_a_trials_budget(tmp_path: Path) -> None:
    manifest = make_manifest()
    split = make_split(manifest, "speaker", 0)
    folds = wanted_folds(AUTO, "mlp", *resolve("mlp"), manifest, split, 0)
    plan = plan_for(manifest, folds=folds, score="last")
    development = len({*plan.speakers.fit, *plan.speakers.validation})
    assert len(plan.inner_folds) == plan.folds_in_turn == min(5, development)
    assert plan.trial_epochs == plan.folds_in_turn * plan.max_epochs
    assert plan.scoring == Scoring("last", plan.max_epochs)
    plan.save(tmp_path)
    assert SearchPlan.load(tmp_path).differences(plan) == []
    side_by_side = plan_for(manifest, folds=wanted_folds("2", "mlp", *resolve("mlp"), manifest, split, 0))
    assert (side_by_side.folds, side_by_side.trial_epochs) == (2, side_by_side.max_epochs)
    assert side_by_side.scoring == EARLIER_SCORING


def test_folds_one_after_another_that_cannot_be_had_are_refused() -> None:
    manifest = make_manifest()
    stops = resolve("mlp", sets=["optim.early_stop_epochs=3"])
    with pytest.raises(ConfigError, match=r"(?s)optim\.early_stop_epochs must be 0.*two speakers besides"):
        wanted_folds(AUTO, "mlp", *stops, manifest, make_split(manifest, "random", 0), 0)
    searched = resolve("mlp", spaces=["optim.early_stop_epochs=0,3"])
    with pytest.raises(ConfigError, match=r"optim\.early_stop_epochs must be 0"):
        wanted_folds(AUTO, "mlp", *searched, manifest, make_split(manifest, "speaker", 0), 0)
    with pytest.raises(ConfigError, match="--folds must be a whole number of at least 1, or auto; got many"):
        wanted_folds("many", "mlp", *resolve("mlp"), manifest, make_split(manifest, "speaker", 0), 0)


def test_the_folds_of_the_finals_are_those_that_the_development_speakers_allow() -> None:
    manifest = make_manifest()
    plan = plan_for(manifest)
    assert plan.finals_rule == FINALS_RULES[-1]
    assert len(plan.final_folds) == len({*plan.speakers.fit, *plan.speakers.validation}) == 5
    validated = [name for names in plan.final_folds for name in names]
    assert not set(validated) & set(plan.speakers.test)
    few = replace(manifest, clips=tuple(clip for clip in manifest.clips if clip.speaker in ("s0", "s1", "s2")))
    assert [len(names) for names in plan_for(few).final_folds] == [1, 1]


def test_a_split_that_mixes_speakers_has_no_folds_for_the_finals() -> None:
    manifest = make_manifest(clips_per_emotion=10)
    mixed = make_split(manifest, "random", 0)
    assert [fold.evaluate.tolist() for fold in inner_of(manifest, mixed, 1, 0)] == [mixed.validation.tolist()]


def test_a_plan_keeps_the_rule_of_its_finals_and_no_other_is_read(tmp_path: Path) -> None:
    plan = plan_for(make_manifest())
    plan.save(tmp_path)
    read = SearchPlan.load(tmp_path)
    assert (read.finals_rule, list(map(list, read.final_folds))) == (FINALS_RULES[-1], list(plan.final_folds))
    assert plan.differences(read) == []
    with pytest.raises(ConfigError, match="finals_rule must be one of 1, 2, 3; got 4"):
        replace(plan, finals_rule=4)


@pytest.mark.parametrize(
    ("target", "asked", "objective"),
    [("emotion", None, "uar"), ("votes", "macro_f1", "macro_f1"), ("arousal,valence", None, "ccc")],
)
def test_the_objective_follows_from_the_target_unless_one_is_asked_for(
    target: str, asked: str | None, objective: str
) -> None:
    assert objective_of(target, asked) == objective


def test_an_objective_or_a_loss_that_the_target_does_not_have_is_refused_before_any_work() -> None:
    with pytest.raises(ConfigError, match=r"--objective must be one of ccc for predicted ratings; got war"):
        objective_of("arousal", "war")
    space, fixed = resolve("mlp", spaces=["optim.loss=cross_entropy,focal"])
    check_losses("mlp", space, fixed, "votes")
    with pytest.raises(ConfigError, match=r"optim.loss must be auto or one of ccc, mse for ratings; got cross_entropy"):
        check_losses("mlp", space, fixed, "arousal")


def test_settings_of_classes_are_neither_searched_nor_taken_where_ratings_are_predicted() -> None:
    space, _ = asked_space("mlp", "emotion", Options(model="mlp"))
    rated, fixed = asked_space("mlp", "arousal,valence", Options(model="mlp"))
    assert set(space.knobs) - set(rated.knobs) == {"optim.label_smoothing"}
    assert not set(CLASS_SETTINGS) & {*rated.knobs, *fixed, *(name for params in rated.first for name in params)}
    several, _ = asked_space("auto:mlp,shallow_cnn", "arousal", Options(model="auto:mlp,shallow_cnn"))
    assert not any(name.endswith("label_smoothing") for name in several.knobs)
    assert "mlp/optim.learning_rate" in several.knobs
    given = Options(model="mlp", set_=["optim.label_smoothing=0.2"], space=["optim.sampling=all,balanced"])
    asked_space("mlp", "votes", given)
    with pytest.raises(ConfigError) as refused:
        asked_space("mlp", "arousal", given)
    why = "concerns classes, and --target arousal predicts ratings; leave it out"
    assert str(refused.value).splitlines() == [
        f"--set optim.label_smoothing=0.2: optim.label_smoothing {why}",
        f"--space optim.sampling=all,balanced: optim.sampling {why}",
    ]


def test_a_plan_keeps_target_and_objective_and_one_of_an_earlier_version_has_the_usual_ones(tmp_path: Path) -> None:
    plan = plan_for(make_manifest(), target="votes", objective="war")
    plan.save(tmp_path)
    read = SearchPlan.load(tmp_path)
    assert (read.target, read.objective) == ("votes", "war")
    assert plan.scoring.objective == "war"
    assert plan.headline.label == "WAR"
    usual = plan_for(make_manifest())
    usual.save(tmp_path)
    assert '"objective"' not in (tmp_path / "plan.json").read_text()
    assert SearchPlan.load(tmp_path).scoring == Scoring("best", 0, "uar")
