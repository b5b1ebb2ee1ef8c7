"""`--pretrained` with a model of one's own: its settings in the new run's space, and what it has seen of the test."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from search.run_folder.earlier_runs import Seen, Start
from search.run_folder.paths import BATCH_FILE, PLAN_FILE
from search.wording import count
from ser_core.architectures import default_config, fits_itself
from ser_core.artifact import ArtifactError
from ser_core.clips import Manifest
from ser_core.config import ConfigError, Value
from ser_core.json_document import DocumentError, typed
from ser_core.model_document import CONFIG_FILE, read_document
from ser_core.split_rules import some
from ser_core.splits import Split
from ser_core.starts import CUT, find_start, kept_settings, start_config
from ser_core.trained_clips import trained_clips

ALLOW = "--allow-heard-test"


def named_start(pretrained: str | None) -> Path | None:
    """The folder of the model of one's own that `--pretrained` names; None for anything else.

    Raises:
        ConfigError: a run that has no model yet, or a folder of several runs.
        ArtifactError: an ensemble that is damaged.
    """
    if pretrained is None:
        return None
    folder, found = Path(pretrained).expanduser(), find_start(pretrained)
    if found is None and (folder / PLAN_FILE).is_file():
        raise ConfigError(f"--pretrained {pretrained}: that run has no model yet; --resume it first")
    if found is None and (folder / BATCH_FILE).is_file():
        raise ConfigError(f"--pretrained {pretrained} holds several runs; name one of them")
    return found


def refuse_start(pretrained: str | None, models: Sequence[str]) -> None:
    """Raise `ConfigError` where one model is to be the start of several architectures."""
    if found := named_start(pretrained):
        own = start_config(found).architecture
        raise ConfigError(
            f"--pretrained {pretrained} is a trained {own}, with which no other of {', '.join(models)} can begin: give "
            f"--model {own} alone"
        )


def taken_settings(
    model: str, folder: Path, fixed: Mapping[str, Value], searched: Collection[str], knobs: Collection[str]
) -> tuple[dict[str, Value], list[str]]:
    """What a run fixes that begins with the model in a folder, and what it was asked for that does not agree with it.

    Args:
        fixed: what `--set` fixes. searched: what `--space` names. knobs: of the architecture's space.

    Raises:
        ArtifactError: a folder that is damaged.
    """
    theirs = start_config(folder)
    if theirs.architecture != model:
        return {}, [
            f"--pretrained {folder} is a trained {theirs.architecture}, and --model is {model}: give --model "
            f"{theirs.architecture}, or another start"
        ]
    if fits_itself(model):
        return {}, [
            f"--pretrained {folder}: no gradient trains {model}, which is fitted anew every time; leave the option out"
        ]
    kept, default = kept_settings(theirs), default_config(model).params()
    problems = [
        f"--set {name}={fixed[name]}: the model to begin with has {kept[name]}; leave it out"
        for name in fixed
        if name in kept and fixed[name] != kept[name]
    ]
    problems += [
        f"--space {name}: the model to begin with has {kept[name]}, which cannot be searched; leave it out"
        for name in searched
        if name in kept
    ]
    cut = {name: theirs.params()[name] for name in CUT if name not in searched}
    taken = {
        name: value
        for name, value in {**kept, **cut}.items()
        if name not in fixed and (name in knobs or default[name] != value)
    }
    return {**taken, "start": str(folder)}, problems


@dataclass(frozen=True, kw_only=True)
class _Corpus:
    name: str = ""
    synthetic: bool = False


@dataclass(frozen=True, kw_only=True)
class _TunedOn:
    corpus: str = ""
    speakers: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class _About:
    """What a model folder says of its origin; early versions said less."""

    corpus: _Corpus | None = None
    trained_speakers: Sequence[str] = ()
    tuned_on: _TunedOn | None = None
    start: Start | None = None


def start_of(folder: Path, manifest: Manifest, split: Split, *, allowed: bool) -> Start:
    """The model in a folder as the start of a run on this split: what it has seen, and what of that tests the run.

    Args:
        allowed: go on where it has seen test clips or test speakers, or where that cannot be told.

    Raises:
        ConfigError: it has, and that is not allowed.
        ArtifactError: a folder that is damaged.
    """
    document = read_document(folder)
    try:
        about: _About = typed(_About, document["about"], "about")
    except DocumentError as error:
        raise ArtifactError(f"{folder / CONFIG_FILE} is damaged ({error}); copy the whole folder again") from error
    digests = trained_clips(folder)
    before = about.start
    start = Start(
        source=str(folder),
        weights_sha256=document["weights_sha256"],
        classes=tuple(map(str, document["classes"])),
        seen=(*_seen(folder, about), *(before.seen if before else ())),
        clips_known=digests is not None and (before is None or before.clips_known),
    )
    heard = [clip for clip in (manifest.clips[row] for row in split.test) if clip.content in (digests or ())]
    if split.speaker_independent:
        speakers = start.speakers_among(manifest.corpus, manifest.speakers[split.test].tolist())
    else:
        speakers = []  # all are heard in training anyway, which every output says
    start = replace(start, test_clips=len(heard), test_speakers=tuple(speakers))
    if not allowed:
        _refuse(start, [clip.shown for clip in heard])
    return start


def _seen(folder: Path, about: _About) -> list[Seen]:
    corpus = about.corpus or _Corpus()
    seen = []
    if corpus.name:
        seen.append(
            Seen(
                model=str(folder),
                corpus=corpus.name,
                speakers=tuple(about.trained_speakers),
                synthetic=corpus.synthetic,
            )
        )
    if about.tuned_on is not None:
        tuned = about.tuned_on
        seen.append(Seen(model=str(folder), corpus=tuned.corpus, speakers=tuple(tuned.speakers), trained=False))
    return seen


def _refuse(start: Start, clips: Sequence[str]) -> None:
    advice = f"take another split or another start, or give {ALLOW}, which every output will then state"
    reasons = []
    if clips:
        reasons.append(f"was trained on {count(len(clips), 'test clip')} of this run, by their samples: {some(clips)}")
    if start.test_speakers:
        reasons.append(f"was trained or tuned on clips of test speakers of this run: {some(start.test_speakers)}")
    if reasons:
        raise ConfigError(
            f"--pretrained {start.source} {', and '.join(reasons)}. A test on them says little of unseen speech; "
            f"{advice}"
        )
    if not start.clips_known:
        raise ConfigError(
            f"--pretrained {start.source} does not say which clips it, or a model that it began with, was trained on "
            f"(its run has not ended, or is of an earlier version), so whether test clips are among them cannot be "
            f"told; {advice}"
        )
