"""Lines of `records.jsonl` as events whose values have the types that readers rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ser_core.json_document import DocumentError, parse_object
from ser_core.training.report import VALIDATION

_NUMBER, _OR_NULL = (int, float), (int, float, type(None))
_FINAL: Mapping[str, Any] = {"phase": str, "trial": int, "seed": int}
_TRAINED: Mapping[str, Any] = {"reports": list, "worker": str, "setup_seconds": _NUMBER}
_KEYS: Mapping[str, Mapping[str, Any]] = {
    "session": {},
    "trial_start": {"trial": int, "params": dict, "origin": str},
    "epochs": {"trial": int, **_TRAINED},
    "trial_end": {"trial": int, "state": str, "reason": str},
    "gave_up": {"reason": str},
    "grace": {"epochs": int, "spearman": _OR_NULL, "trials": list},
    "final_start": _FINAL,
    "final_epochs": {**_FINAL, **_TRAINED},
    "final_end": {**_FINAL, "reason": str},
}
"""Event -> its keys and their types, beside `time`."""
_CLIPS: Mapping[str, Any] = {"where": str, "size_bytes": int, "room_bytes": int}
_REPORT: Mapping[str, Any] = {
    "epoch": int,
    **dict.fromkeys(("train_loss", "val_loss", "learning_rate", "seconds"), _OR_NULL),
}


def parse_event(line: bytes) -> dict[str, Any]:
    """The event that a line holds.

    Raises:
        DocumentError: no JSON object, an unknown event, a key that is missing or a value of another type.
    """
    event = parse_object(line, any_text=True)  # reasons are what was raised
    if event.get("event") not in _KEYS:
        raise DocumentError(f"unknown event {event.get('event')!r}")
    _check(event, {"time": _NUMBER, **_KEYS[event["event"]]}, event["event"])
    for report in event.get("reports", ()):
        if not isinstance(report, dict):
            raise DocumentError(f"a report must be an object; got {str(report)[:40]!r}")
        scores = (name for name in report if name.startswith(VALIDATION))
        _check(report, {**_REPORT, **dict.fromkeys(scores, _OR_NULL)}, "report")
    for name, value in event.get("params", {}).items():
        if not isinstance(value, bool | int | float | str):
            raise DocumentError(f"params.{name} must be a plain value; got {str(value)[:40]!r}")
    if not isinstance(event.get("precision_note", ""), str):
        raise DocumentError(f"precision_note must be text; got {str(event['precision_note'])[:40]!r}")
    if (clips := event.get("clips")) is not None:
        if not isinstance(clips, dict):
            raise DocumentError(f"clips must be an object; got {str(clips)[:40]!r}")
        _check(clips, _CLIPS, "clips")
    if any(type(number) is not int for number in event.get("trials", ())):
        raise DocumentError("trials must be whole numbers")
    return event


def _check(values: Mapping[str, Any], kinds: Mapping[str, Any], what: str) -> None:
    for name, kind in kinds.items():
        if name not in values:
            raise DocumentError(f"{what} lacks {name}")
        value = values[name]
        if isinstance(value, bool) or not isinstance(value, kind):
            raise DocumentError(f"{name} has a value of the wrong type: {str(value)[:40]!r}")
