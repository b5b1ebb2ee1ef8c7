"""audformat databases, as audEERING publishes corpora: a header in YAML, tables in CSV or Parquet, and audio."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ser_core.clips import CorpusError
from ser_core.corpora._columns import columns_of
from ser_core.corpora._manifest import Rows
from ser_core.corpora._wanted import Wanted

EMOTION = "emotion"
"""The scheme whose labels are read."""
FURTHER = ("speaker", "gender", "language", "session", "age")
"""Schemes that are read where there are any; those of speakers may lie in the speaker scheme's own table."""


def audformat_rows(root: Path, wanted: Wanted) -> Rows:
    """The files and segments of a database, split by split where its tables name splits.

    Raises:
        CorpusError: the library is not installed, or a database without the scheme `EMOTION`, or those of the
            dimensions that are wanted, or labels that contradict one another.
    """
    try:
        import audformat
    except ImportError as error:
        raise CorpusError(
            f"{root} is an audformat database, which the extra audformat reads: pip install ser-search[audformat]"
        ) from error
    database = audformat.Database.load(str(root))
    first, *others = sorted(wanted.columns) or [EMOTION]
    labelled = [table for table in database.tables.values() if _has(table, first)]
    if not labelled:
        schemes = ", ".join(database.schemes) or "none"
        raise CorpusError(f"{root}: no table of this database has the scheme {first}; its schemes are {schemes}")
    splits = sorted({table.split_id for table in labelled if table.split_id}) or [None]
    path, number = root / "db.yaml", 0
    for split in splits:
        try:
            frame = database.get(first, [*others, *FURTHER], splits=split, strict=False)
        except ValueError as error:
            raise CorpusError(f"{root}: {first} is not one label for each clip: {str(error)[:300]}") from error
        kind = database.splits[split].type if split else ""
        frame = frame.reset_index().rename(columns={"file": "path"}).astype(object)
        frame = frame.where(frame.notna(), None)
        columns = columns_of(path, (*frame.columns, *(["split"] if kind else [])))
        for cells in frame.to_dict("records"):
            number += 1
            texts = {name: str(value) for name, value in cells.items() if value is not None}
            yield number, columns, texts | ({"split": str(kind)} if kind else {})


def _has(table: Any, scheme: str) -> bool:
    return any(scheme in (name, column.scheme_id) for name, column in table.columns.items())
