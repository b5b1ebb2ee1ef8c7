"""Predictions as they are printed: a line each, as text, JSON or CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TextIO

import numpy as np

from ser_core.targets import DIMENSIONS, Target


class Form(StrEnum):
    """How predictions are printed."""

    TEXT = "text"
    JSON = "json"
    CSV = "csv"


class Printer:
    """Prints predictions as they come, in one of the forms."""

    def __init__(self, form: Form, target: Target, subject: str, out: TextIO) -> None:
        """`subject` names what is predicted: "path" of a file, "seconds" of a stream."""
        self._form, self._subject, self._out = form, subject, out
        self._said = said_of(target)
        self._csv = csv.writer(out, lineterminator="\n")
        if form is Form.CSV:
            self._csv.writerow([subject, *self._said.columns])

    def __call__(self, subject: str | float, told: np.ndarray | None) -> None:
        """One prediction; None for a silent stretch of a stream."""
        if self._form is Form.JSON:
            print(json.dumps({self._subject: subject, **self._said.document(told)}), file=self._out)
        elif self._form is Form.CSV:
            self._csv.writerow(
                [subject, *(self._said.cells(told) if told is not None else ["" for _ in self._said.columns])]
            )
        else:
            print(f"{subject}\t{'silent' if told is None else self._said.text(told)}", file=self._out)
        self._out.flush()


class Said(Protocol):
    """How a prediction (outputs,) is written."""

    @property
    def columns(self) -> Sequence[str]:
        """Names of the cells of a table."""

    def cells(self, told: np.ndarray) -> Sequence[str]:
        """It as cells of a table."""

    def text(self, told: np.ndarray) -> str:
        """It as a line for people."""

    def document(self, told: np.ndarray | None) -> dict[str, Any]:
        """It as JSON values, rounded to six digits; None for silence."""


def said_of(target: Target) -> Said:
    """How predictions of a target are written."""
    return _Ratings(target.names) if target.kind == DIMENSIONS else _Classes(target.names)


@dataclass(frozen=True)
class _Classes:
    """The most probable class, and the probability of each."""

    names: tuple[str, ...]

    @property
    def columns(self) -> Sequence[str]:
        return ["emotion", *(f"p_{word}" for word in self.names)]

    def cells(self, told: np.ndarray) -> Sequence[str]:
        return [self.names[int(told.argmax())], *(f"{share:.6f}" for share in told)]

    def text(self, told: np.ndarray) -> str:
        return f"{self.names[int(told.argmax())]}\t{100 * told.max():.0f} %"

    def document(self, told: np.ndarray | None) -> dict[str, Any]:
        if told is None:
            return {"emotion": None, "probabilities": {}}
        shares = {word: round(float(share), 6) for word, share in zip(self.names, told, strict=True)}
        return {"emotion": self.names[int(told.argmax())], "probabilities": shares}


@dataclass(frozen=True)
class _Ratings:
    """The rating of each dimension."""

    names: tuple[str, ...]

    @property
    def columns(self) -> Sequence[str]:
        return self.names

    def cells(self, told: np.ndarray) -> Sequence[str]:
        return [f"{rating:.6f}" for rating in told]

    def text(self, told: np.ndarray) -> str:
        return "\t".join(f"{name} {rating:.2f}" for name, rating in zip(self.names, told, strict=True))

    def document(self, told: np.ndarray | None) -> dict[str, Any]:
        if told is None:
            return {"ratings": {}}
        return {"ratings": {name: round(float(rating), 6) for name, rating in zip(self.names, told, strict=True)}}
