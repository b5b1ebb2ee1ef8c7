"""Labels that a corpus keeps in tables beside its audio."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ser_core.clips import CorpusError

Row = Mapping[str, str]
"""What a table says of a clip: `emotion` (a code of the corpus), and where it has them `speaker`, `gender`, `part`;
other names become columns of the manifest."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Where the labels are; call it with the corpus's folder for clip_id -> row, None for a clip that is left out.

    Attributes:
        files: patterns of the tables' names, looked for at any depth.
        rows: reads one of these files.
    """

    files: tuple[str, ...]
    rows: Callable[[Path], Iterable[tuple[str, Row | None]]]

    def __call__(self, root: Path) -> dict[str, Row | None]:
        """The rows of all tables below `root`.

        Raises:
            CorpusError: no such table, or one that lacks a column or is no text.
        """
        found = sorted(path for pattern in self.files for path in root.rglob(pattern) if not path.name.startswith("."))
        if not found:
            raise CorpusError(
                f"{root} holds no {' or '.join(self.files)}, where this corpus keeps its labels: pass the folder that "
                f"holds both labels and audio"
            )
        rows: dict[str, Row | None] = {}
        for path in found:
            try:
                rows |= dict(self.rows(path))
            except KeyError as error:
                raise CorpusError(f"{path} has no column {error}, which this corpus's tables have") from error
            except (UnicodeDecodeError, csv.Error) as error:
                raise CorpusError(f"{path} is not a table in UTF-8 text ({error})") from error
        return rows


def csv_rows(path: Path, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """The lines of a CSV file, column -> text; a byte order mark and blanks around the text do not matter."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file, delimiter=delimiter):
            yield {name.strip(): (text or "").strip() for name, text in row.items() if name is not None}
