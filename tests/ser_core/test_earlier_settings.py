"""What earlier versions wrote is read in the words of this one."""

from __future__ import annotations

from ser_core.earlier_settings import present_option, present_settings, present_space
from spaces.knobs import Choice, Float, When, knob_from_json, knob_to_json

EARLIER, PRESENT = "features.speaker_normalisation", "features.normalisation"


def test_a_setting_has_its_present_name_and_value_and_its_place() -> None:
    given = {"optim.epochs": 3, EARLIER: True, "seed": 1}
    assert list(present_settings(given).items()) == [("optim.epochs", 3), (PRESENT, "speaker"), ("seed", 1)]
    assert present_settings({EARLIER: False}) == {PRESENT: "corpus"}


def test_present_words_stay_as_they_are() -> None:
    settings = {PRESENT: "clip", "optim.bucketing": True}
    assert present_settings(settings) == settings


def test_weights_of_classes_were_on_or_off() -> None:
    name = "optim.class_weights"
    assert [present_settings({name: value})[name] for value in (True, False, "effective")] == [
        "inverse", "none", "effective",
    ]  # fmt: skip


def test_a_value_that_the_setting_never_had_is_left_for_the_check_of_settings() -> None:
    assert present_settings({EARLIER: "yes"}) == {PRESENT: "yes"}


def test_a_knob_and_what_depends_on_it_are_renamed_together() -> None:
    space = {
        EARLIER: Choice(values=(False, True)),
        "augment.noise_std": Float(low=0.0, high=1.0, when=When(name=EARLIER, values=(True,))),
        "model.dropout": Float(low=0.0, high=0.5),
    }
    read = present_space({name: knob_to_json(knob) for name, knob in space.items()})
    assert {name: knob_from_json(knob) for name, knob in read.items()} == {
        PRESENT: Choice(values=("corpus", "speaker")),
        "augment.noise_std": Float(low=0.0, high=1.0, when=When(name=PRESENT, values=("speaker",))),
        "model.dropout": Float(low=0.0, high=0.5),
    }


def test_options_are_read_in_either_words() -> None:
    assert present_option(f"{EARLIER}=true") == f"{PRESENT}=speaker"
    assert present_option(f"{EARLIER}=False, true") == f"{PRESENT}=corpus,speaker"
    assert present_option(f"{EARLIER}=perhaps") == f"{PRESENT}=perhaps"
    assert present_option(f"{PRESENT}=clip") == f"{PRESENT}=clip"
    assert present_option("model.dropout=0:0.5") == "model.dropout=0:0.5"


def test_frames_of_an_encoder_bore_the_name_of_one_family() -> None:
    assert present_settings({"features.kind": "wav2vec2"}) == {"features.kind": "encoder"}
    assert present_settings({"features.kind": "log_mel"}) == {"features.kind": "log_mel"}
    assert present_option("features.kind=wav2vec2,mfcc") == "features.kind=encoder,mfcc"
