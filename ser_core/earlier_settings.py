"""Settings as earlier versions named them, in this version's words.

Applied once, where a plan, a record, a result, a model folder or an option is read; nothing behind that door knows the
old names. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Value = float | int | str | bool

_RENAMED: Mapping[str, tuple[str, Mapping[Value, Value]]] = {
    "features.speaker_normalisation": ("features.normalisation", {True: "speaker", False: "corpus"}),  # until 0.2
    "features.kind": ("features.kind", {"wav2vec2": "encoder"}),  # until 0.2
    "optim.class_weights": ("optim.class_weights", {True: "inverse", False: "none"}),  # until 0.2
}
"""Earlier name -> the present one, and what its values are called now."""


_DEFAULTS: Mapping[str, Mapping[str, Value]] = {
    "mlp": {
        "features.kind": "mfcc_stats",
        "features.n_mels": 64,
        "features.n_mfcc": 40,
        "optim.epochs": 40,
        "model.width": 80,
        "model.dropout": 0.2,
    },
    "shallow_cnn": {"features.deltas": 0, "model.pooling": "mean"},
    "cnn_lstm": {"features.deltas": 0},
}
"""Architecture -> its defaults until 0.2, as far as they are others today."""


def earlier_defaults(architecture: str) -> Mapping[str, Value]:
    """What an architecture's defaults were when plans did not keep them, where today's are others."""
    return _DEFAULTS.get(architecture, {})


def present_settings(params: Mapping[str, Value]) -> dict[str, Value]:
    """A configuration by dotted names; what has the same name today stays as it is."""
    return {_present_name(name): _present_value(name, value) for name, value in params.items()}


def present_space(space: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A space as `spaces.knobs.knob_to_json` describes its knobs, conditions on other knobs included."""
    return {_present_name(name): _present_knob(name, knob) for name, knob in space.items()}


def present_option(text: str) -> str:
    """What follows `--set` or `--space`: `name=value` or `name=value,value`."""
    name, equals, values = text.partition("=")
    if name not in _RENAMED:
        return text
    words = {str(old).lower(): str(new) for old, new in _RENAMED[name][1].items()}
    present = ",".join(words.get(value.strip().lower(), value) for value in values.split(","))
    return f"{_present_name(name)}{equals}{present}"


def _present_name(name: str) -> str:
    return _RENAMED[name][0] if name in _RENAMED else name


def _present_value(name: str, value: Any) -> Any:
    return _RENAMED[name][1].get(value, value) if name in _RENAMED else value


def _present_values(name: str, values: Iterable[Any]) -> list[Any]:
    return [_present_value(name, value) for value in values]


def _present_knob(name: str, knob: Mapping[str, Any]) -> Mapping[str, Any]:
    changes: dict[str, Any] = {}
    if name in _RENAMED and "values" in knob:
        changes["values"] = _present_values(name, knob["values"])
    if (when := knob.get("when")) and when["name"] in _RENAMED:
        changes["when"] = {"name": _present_name(when["name"]), "values": _present_values(when["name"], when["values"])}
    return {**knob, **changes}
