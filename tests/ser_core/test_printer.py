"""Predictions as they are printed: classes and ratings, as text, JSON and CSV."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest

from ser_core.printer import Form, Printer
from ser_core.targets import Dimensions, Emotions, Target

CLASSES, RATINGS = Emotions(("calm", "happy")), Dimensions(("arousal", "valence"))


@pytest.mark.parametrize(
    ("target", "form", "lines"),
    [
        (CLASSES, Form.TEXT, ["a.wav\thappy\t75 %", "2.5\tsilent"]),
        (CLASSES, Form.CSV, ["path,emotion,p_calm,p_happy", "a.wav,happy,0.250000,0.750000", "2.5,,,"]),
        (RATINGS, Form.TEXT, ["a.wav\tarousal 0.25\tvalence 0.75", "2.5\tsilent"]),
        (RATINGS, Form.CSV, ["path,arousal,valence", "a.wav,0.250000,0.750000", "2.5,,"]),
    ],
)
def test_a_line_for_each_prediction(target: Target, form: Form, lines: list[str]) -> None:
    out = io.StringIO()
    printer = Printer(form, target, "path", out)
    printer("a.wav", np.array([0.25, 0.75], dtype=np.float32))
    printer(2.5, None)
    assert out.getvalue().splitlines() == lines


def test_json_names_what_was_predicted() -> None:
    out = io.StringIO()
    for target in (CLASSES, RATINGS):
        printer = Printer(Form.JSON, target, "path", out)
        printer("a.wav", np.array([0.25, 0.75], dtype=np.float32))
        printer("b.wav", None)
    assert list(map(json.loads, out.getvalue().splitlines())) == [
        {"path": "a.wav", "emotion": "happy", "probabilities": {"calm": 0.25, "happy": 0.75}},
        {"path": "b.wav", "emotion": None, "probabilities": {}},
        {"path": "a.wav", "ratings": {"arousal": 0.25, "valence": 0.75}},
        {"path": "b.wav", "ratings": {}},
    ]
