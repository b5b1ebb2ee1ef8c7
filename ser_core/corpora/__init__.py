"""Corpora, one module each, found by looking into this folder.

A module `ser_core/corpora/x.py` makes corpus `x` known to `--data`, by name and as a folder or zip. It holds:

- `CITATION`, `LICENCE`; `SYNTHETIC`: True for audio that no person spoke; `SOURCE`: the address where it is offered;
- `EMOTIONS`: code -> word, None for what is left out;
- `labels(file) -> Labels | None`: what a file's path (relative, `/` between folders) says, mostly a
  `ser_core.corpora._names.Names`; None for a file of the corpus that is not for this task; raises `BadName` with the
  reason;
- `EXAMPLES`: path -> the `Labels` expected for it, from which the contract test makes audio;
- `obtain(cache_dir, progress) -> folder`: downloads or makes the corpus unless `cache_dir` has it; mostly
  `ser_core.corpora._source.elsewhere`, which says where to get it.

It may hold:

- `TABLE`: reads labels that lie beside the audio (`ser_core.corpora._tables.Table`); then `EXAMPLE_TABLES`, path ->
  text, are what the contract test writes;
- `FOLDS`: protocol -> test speakers of each published fold;
- `SCALE`: column of ratings -> the lowest and the highest that a listener could give.
"""

from __future__ import annotations

import logging
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import cast

from ser_core.clips import CorpusError, Manifest, SkippedFile, order_classes
from ser_core.corpora._archive import unpacked_zip
from ser_core.corpora._check import check_audio, problems
from ser_core.corpora._folders import scan_listed_folder
from ser_core.corpora._manifest import MANIFEST_SUFFIXES, scan_manifest
from ser_core.corpora._progress import Progress, progress_bars, silent
from ser_core.corpora._recognition import Recognised, recognise
from ser_core.corpora._scan import AUDIO_SUFFIXES, Corpus, Scan, scan_folder
from ser_core.corpora._wanted import Wanted
from ser_core.ratings import dimensions_in, rated, voted, without_numbers
from ser_core.targets import EMOTION, VOTES

__all__ = [
    "Progress", "Wanted", "corpora", "corpus_module", "load_corpus", "named_corpus", "progress_bars", "read_corpus",
    "recognised",
]  # fmt: skip

REPORTED_FILES = 20
"""Bad files that an error lists by name; the rest is counted."""

REPORTED_REPEATS = 5
"""Recordings that are there more than once, of which a warning names so many."""

_log = logging.getLogger(__name__)


def corpora() -> tuple[str, ...]:
    """Names of all corpora, alphabetically."""
    return tuple(sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_")))


def corpus_module(name: str) -> Corpus:
    """The module of a corpus.

    Raises:
        CorpusError: no such corpus; the known ones are listed.
    """
    if name not in corpora():
        raise CorpusError(f"unknown corpus {name!r}; known: {', '.join(corpora())}")
    return cast(Corpus, import_module(f"{__name__}.{name}"))


def load_corpus(
    where: str,
    *,
    skip_bad: bool,
    classes: str | None,
    cache_dir: Path,
    target: str = EMOTION,
    progress: Progress | None = None,
) -> Manifest:
    """Find, check and list the clips of a corpus.

    Every file is decoded once; the verdicts are kept in `cache_dir` until a file changes.

    Args:
        where: name of a corpus (`ravdess` downloads it, `demo` makes it; `./demo` is a folder), a folder, a zip of one,
            or a manifest (.csv, .tsv, .jsonl); a folder may bring a list of its own (`ser_core.corpora._folders`).
            `emodb:FOLDER` names the corpus that a folder or zip holds, which is
            else recognised by the names of its files.
        skip_bad: leave bad files out and list them in `Manifest.skipped`, instead of raising.
        classes: see `Manifest.with_classes`.
        target: what is predicted: `emotion`, `votes` (`ser_core.ratings.voted`), or columns of ratings with commas
            between.
        cache_dir: for what is downloaded, made, unpacked and remembered.
        progress: told what takes long and how far it is; `progress_bars` draws it.

    Raises:
        CorpusError: nothing there, no clips of a known corpus, bad files while not `skip_bad` (all of them at once,
            with reasons), a failed download, or classes that the corpus does not have.
    """
    manifest = read_corpus(
        where, skip_bad=skip_bad, wanted=Wanted.of(target, classes), cache_dir=cache_dir, progress=progress
    )
    if target == EMOTION:
        return manifest.with_classes(classes)
    return voted(manifest, classes) if target == VOTES else _rated(manifest, target, classes, where, skip_bad=skip_bad)


def read_corpus(
    where: str, *, skip_bad: bool, wanted: Wanted, cache_dir: Path, progress: Progress | None = None
) -> Manifest:
    """The clips of a corpus as it lists them, checked, before anything is made of what is predicted.

    Args:
        wanted: what that is, which decides which clips are listed. The others: see `load_corpus`.

    Raises:
        CorpusError: see `load_corpus`.
    """
    progress = progress or silent
    name, scan = _scan(where, cache_dir, progress, wanted)
    checked = check_audio(scan.clips, cache_dir=cache_dir, progress=progress)
    unusable = problems(scan.clips, checked)
    skipped = (*scan.problems, *unusable)
    if skipped and not skip_bad:
        raise CorpusError(_bad_files(where, skipped, len(scan.clips) + len(scan.problems)))
    usable = [row for row, audio in enumerate(checked) if not audio.reason]
    clips = tuple(replace(scan.clips[row], content=checked[row].content) for row in usable)
    module = corpus_module(name) if name in corpora() else None
    manifest = Manifest(
        corpus=name,
        clips=clips,
        classes=order_classes({clip.emotion for clip in clips}),
        skipped=skipped,
        synthetic=module.SYNTHETIC if module else False,
        licence=module.LICENCE if module else "",
        citation=module.CITATION if module else "",
        columns={name: values[usable] for name, values in scan.columns.items()},
    )
    _warn_of_repeated(where, manifest)
    return manifest


def _rated(manifest: Manifest, target: str, classes: str | None, where: str, *, skip_bad: bool) -> Manifest:
    """The clips with ratings of the dimensions that a target names."""
    if classes is not None:
        raise CorpusError(f"--classes {classes}: --target {target} predicts ratings, which have no classes")
    dimensions = dimensions_in(target)
    lacking = tuple(without_numbers(manifest, dimensions))
    if lacking and not skip_bad:
        raise CorpusError(_bad_files(where, lacking, len(manifest.clips)))
    return replace(rated(manifest, dimensions), skipped=(*manifest.skipped, *lacking))


def _warn_of_repeated(where: str, manifest: Manifest) -> None:
    """Name clips that are the same recording; a split refuses those that would lie in two of its parts."""
    found = [
        " = ".join(f"{c.shown} ({c.emotion})" for c in map(manifest.clips.__getitem__, rows[:4]))
        for rows in manifest.repeated()
    ]
    if found:
        more = f"; and {len(found) - REPORTED_REPEATS} more" if len(found) > REPORTED_REPEATS else ""
        shown = "; ".join(found[:REPORTED_REPEATS])
        _log.warning("%s: recordings that are there more than once: %s%s", where, shown, more)


def _scan(where: str, cache_dir: Path, progress: Progress, wanted: Wanted) -> tuple[str, Scan]:
    """Corpus name and clips for a value of `--data`."""
    if where in corpora():
        module = corpus_module(where)
        return where, scan_folder(module, module.obtain(cache_dir, progress), wanted)
    name, text = named_corpus(where)
    path = Path(text).expanduser()
    if path.is_dir():
        listed = None if name else scan_listed_folder(path, _known(), wanted)
        return (path.resolve().name, listed) if listed else _scan_below(path, where, name, wanted)
    if not path.is_file():
        raise CorpusError(
            f"--data {where}: no such file or folder, and no corpus of that name ({', '.join(corpora())})"
        )
    if path.suffix.lower() == ".zip":
        return _scan_below(unpacked_zip(path, cache_dir, progress), where, name, wanted)
    if path.suffix.lower() in MANIFEST_SUFFIXES:
        return path.stem, scan_manifest(path, _known(), wanted)
    raise CorpusError(
        f"--data {where}: expected a folder, a .zip or a manifest ({', '.join(MANIFEST_SUFFIXES)}); "
        f"got a {path.suffix or 'nameless kind of'} file"
    )


def _known() -> dict[str, Corpus]:
    return {name: corpus_module(name) for name in corpora()}


def named_corpus(where: str) -> tuple[str | None, str]:
    """`emodb:FOLDER` as ("emodb", "FOLDER"); anything else as (None, where)."""
    name, colon, text = where.partition(":")
    return (name, text) if colon and text and name in corpora() else (None, where)


def recognised(root: Path, names: Iterable[str] = ()) -> dict[str, Recognised]:
    """What every corpus, or those named, makes of file names below a folder, the one that knows most of them first."""
    return recognise(root, {name: corpus_module(name) for name in names or corpora()})


def _scan_below(root: Path, where: str, name: str | None, wanted: Wanted) -> tuple[str, Scan]:
    """The clips of a corpus below its folder, by its name or else of the corpus that knows most of the files there."""
    name = _checked_name(root, where, name)
    scan = scan_folder(corpus_module(name), root, wanted)
    if scan.left_out:
        _log.warning("%s: left out %d files that are not speech clips of %s", where, scan.left_out, name)
    return name, scan


def _checked_name(root: Path, where: str, name: str | None) -> str:
    """The corpus named, or the one that knows most of the files' names; a warning says how many where not all."""
    found = list(recognised(root, [name] if name else ()).items())
    first, best = found[0]
    if not best.clips:
        raise CorpusError(_nothing_known(root, where, name, best.left_out))
    if len(found) > 1 and found[1][1].clips == best.clips:
        second = found[1][0]
        raise CorpusError(
            f"--data {where}: its files could be {first}'s or {second}'s, whose names {best.clips} of them have: pass "
            f"--data {first}:{where} or --data {second}:{where}"
        )
    if best.share < 1:
        known = best.clips + best.left_out
        _log.warning("%s: taken for %s, whose names %d of %d audio files have", where, first, known, best.files)
    return first


def _nothing_known(root: Path, where: str, name: str | None, left_out: int) -> str:
    archives = sorted(path.name for path in root.glob("*.zip"))
    known = f"{name} uses" if name else f"a known corpus uses ({', '.join(corpora())})"
    return (
        f"--data {where}: no {' or '.join(AUDIO_SUFFIXES)} file there has a name that {known}. "
        + (f"{left_out} files are of another task, such as song. " if left_out else "")
        + (f"For the archives in it, pass one of {', '.join(archives)}. " if archives else "")
        + "For another corpus, write a manifest with the columns path, speaker, emotion"
    )


def _bad_files(where: str, bad: tuple[SkippedFile, ...], total: int) -> str:
    lines = [f"  {file.path}: {file.reason}" for file in bad[:REPORTED_FILES]]
    if len(bad) > REPORTED_FILES:
        lines.append(f"  and {len(bad) - REPORTED_FILES} more")
    return "\n".join(
        [
            f"--data {where}: {len(bad)} of {total} files cannot be used:",
            *lines,
            "Mend or remove them, or pass --skip-bad to leave them out (result.json will list them).",
        ]
    )
