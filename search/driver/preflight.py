"""What can be known before training is said before training, and by a dry run too."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import torch

from search.driver.options import OPTIONS, Options
from search.driver.space import early_features
from search.finals.test_set import ledger_readings
from search.run_folder.architectures import spaces_of
from search.run_folder.paths import RECORDS_FILE
from search.run_folder.plan import SearchPlan
from search.run_folder.records_reader import read_records
from search.run_folder.rungs import AUTO
from search.wording import count, times
from ser_core.architectures import build_model, default_config
from ser_core.augment_settings import SAMPLE_CHANGES
from ser_core.config import ENCODER_KINDS, Config, ConfigError, raise_problems
from ser_core.features.size import known_bins
from ser_core.features.transforms import clip_frames, extractor, settings_key
from ser_core.model_document import weights_sha256
from ser_core.modules.encoder_families import NO_WEIGHTS
from ser_core.starts import begin_with
from ser_core.training.waveforms import check_samples
from spaces.knobs import Choice, Space, Value

ANSWER_SECONDS = 10.0
"""For the head of a cluster to take a connection."""


def check_folder(folder: Path) -> None:
    """Refuse a folder that a new run cannot have, before its corpus is even looked for.

    Raises:
        ConfigError: it is a file, holds a run already, or cannot be made.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--run-dir {folder} is a file; name a folder that does not exist yet")
    if read_records(folder / RECORDS_FILE).trials:
        raise ConfigError(f"{folder} holds a run already; --resume {folder} goes on with it, or name another --run-dir")
    above = next(parent for parent in (folder, *folder.resolve().parents) if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"--run-dir {folder} cannot be made: {above} is no folder that can be written to")


def check_resumption(options: Options, folder: Path, plan: SearchPlan) -> None:
    """Refuse to go on with a run where that would come to nothing.

    Raises:
        ConfigError: fewer trials than there are, or a further search whose winner could not be tested.
    """
    started = len(read_records(folder / RECORDS_FILE).trials)
    if options.trials is not None and options.trials < started:
        raise ConfigError(
            f"--trials {options.trials}: the run in {folder} has started {started} already; name at least as many, or "
            f"leave the option out"
        )
    longer = [OPTIONS[name].flag for name in options.given() if OPTIONS[name].extends]
    readings = len(ledger_readings(folder))
    if longer and readings and started < plan.limits.trials and not options.allow_second_test_read:
        raise ConfigError(
            f"the test set of the run in {folder} was read {times(readings)} before; a longer search "
            f"({', '.join(longer)}) that finds another winner would choose again after a look at it, which flatters "
            f"the result. Start a new run, or give --allow-second-test-read, which every output will then state"
        )


def check_machine(plan: SearchPlan) -> None:
    """Refuse trials that this machine has no place for. What a cluster has is asked when it is reached.

    Raises:
        ConfigError: more cores or GPUs for a trial than there are.
    """
    limits = plan.limits
    if limits.address is not None:
        return
    cores, gpus, asked = os.cpu_count() or 1, torch.cuda.device_count(), limits.gpus_per_trial
    problems = []
    if limits.cpus_per_trial > cores:
        problems.append(
            f"--cpus-per-trial {limits.cpus_per_trial:g}: this machine has {count(cores, 'core')}; ask for at most as "
            f"many, or give an --address with more"
        )
    if asked == AUTO and not gpus:
        problems.append(f"--gpus-per-trial {AUTO} measures on GPUs, and PyTorch sees none here; leave it out")
    elif isinstance(asked, int | float) and asked > gpus:
        problems.append(
            f"--gpus-per-trial {asked:g}: PyTorch sees {count(gpus, 'GPU')} here; ask for at most as many, or give an "
            f"--address with more"
        )
    raise_problems(problems)


def check_cluster(address: str | None) -> None:
    """Refuse HOST:PORT where nothing listens: Ray itself would look for it for minutes, and after all features.

    Raises:
        ConfigError: what the network says.
    """
    host, colon, port = (address or "").rpartition(":")
    if not colon or not port.isdecimal():  # such as auto, of which Ray knows more
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise ConfigError(
            f"--address must be where the head of a Ray cluster listens, HOST:PORT as `ray start --head` prints it, or "
            f"auto; nothing answers at {address} ({error})"
        ) from error


def check_weights(plan: SearchPlan) -> None:
    """Load the pretrained weights that the plan names, as its trials will.

    Raises:
        ConfigError: features that an encoder cannot give; a model to begin with that does not fit.
        ArtifactError: a model to begin with that is damaged.
        PretrainedError: weights that cannot be had or do not fit.
    """
    parts = spaces_of(plan).items()
    configs = [default_config(name, settings) for name, (_, settings) in parts]
    for name, (space, settings) in parts:
        check_samples(default_config(name, {**settings, **_most_changed(space)}))
    defaults = {settings_key(config.features): config.features for config in configs}
    for asked in {**defaults, **early_features(plan.model, plan.knobs, plan.settings)}.values():
        if asked.kind in ENCODER_KINDS and asked.encoder != NO_WEIGHTS:
            extractor(asked)
    if plan.start is not None and weights_sha256(Path(plan.start.source)) != plan.start.weights_sha256:
        raise ConfigError(
            f"{plan.start.source}, with which the run began, has other weights now; put the former ones back"
        )
    for config in configs:
        _check_model_weights(config, plan.corpus.classes)


def _most_changed(space: Space) -> dict[str, Value]:
    """Every knob over changes of samples at its far end."""
    knobs = {name: space.knobs[name] for each in SAMPLE_CHANGES if (name := f"augment.{each}") in space.knobs}
    return {name: knob.values[-1] if isinstance(knob, Choice) else knob.high for name, knob in knobs.items()}


def _check_model_weights(config: Config, classes: Sequence[str]) -> None:
    features, model = config.features, None
    if config.params().get("model.pretrained", NO_WEIGHTS) == NO_WEIGHTS and not config.start:
        return
    with suppress(ConfigError):  # an input that the defaults cannot take may be one that the knobs mend
        model = build_model(config, frames=clip_frames(features), bins=known_bins(features), classes=len(classes))
    if config.start and model is not None:
        begin_with(Path(config.start), model, config, classes)
