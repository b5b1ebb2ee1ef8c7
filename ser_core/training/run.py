"""THE training function, for every architecture: an iterator over epochs.

    run = train(config, fold, store, device="cpu")
    for report in run:                 # or list(run); whoever has seen enough stops asking
        print(report)
    told = run.predict(rows)           # probabilities, or ratings, with the best epoch's weights

Nothing here knows that a search exists, and nothing outlives the call: global random states are put back after every
epoch, and the number of threads is the caller's business (`torch.set_num_threads`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ser_core.architectures import architecture, build_model, takes_raw_features
from ser_core.config import Config
from ser_core.features.device_clips import Batch, DeviceClips, Wanted
from ser_core.features.normalisation import no_normalisation
from ser_core.features.placement import Placement
from ser_core.features.store import FeatureStore
from ser_core.features.transforms import clip_frames, frame_seconds
from ser_core.inference import evaluate
from ser_core.modules.trained_state import load_trained_state, trained_state
from ser_core.splits import Fold
from ser_core.starts import begin_with
from ser_core.training.at_once import FitsItself, fit_at_once
from ser_core.training.augment import augment, random_shifts
from ser_core.training.checkpoint import Checkpoint, check_identity, read_checkpoint, run_identity, write_checkpoint
from ser_core.training.heads import head_of
from ser_core.training.optim import (
    average_of,
    build_optimizer,
    learning_rate,
    load_optimizer_tensors,
    optimizer_tensors,
    training_ends,
)
from ser_core.training.precision import bf16_fault, logits_of, machine_of, resolve_precision
from ser_core.training.report import EpochReport
from ser_core.training.seeding import seeded
from ser_core.training.steps import Step, TrainsInStages, check_trainable, full_clips_per_step, steps_of


class Diverged(RuntimeError):
    """The loss or a gradient became NaN or infinite."""

    def __init__(self, epoch: int, reason: str) -> None:
        super().__init__(epoch, reason)  # both, so that it survives pickling
        self.epoch, self.reason = epoch, reason

    def __str__(self) -> str:
        return f"training diverged in epoch {self.epoch}: {self.reason}"


def train(
    config: Config,
    fold: Fold,
    store: FeatureStore,
    *,
    device: str | torch.device,
    resume: Path | None = None,
    room_bytes: int | None = None,
) -> TrainingRun:
    """Set up training on the clips `fold.fit`, validated on `fold.evaluate`; iterate over the result to train.

    The same arguments give the same result in any process, bit by bit on the CPU; on a GPU up to kernels that add in no
    fixed order.

    Args:
        config: all settings; `optim.epochs` is the full budget to which the learning rate's schedule is pinned.
        fold: rows of the store; without rows to evaluate on (a refit) the last epoch's weights count as the best.
        store: features of at least the fold's clips.
        device: "cpu", "cuda", "cuda:1" …
        resume: a checkpoint of the same run to go on from; the result is that of an uninterrupted run.
        room_bytes: what the features may take of the device's memory, else they are streamed; the result is the same.
            None: see `ser_core.features.clip_source.clip_source`.

    Raises:
        ValueError: fewer than two clips to fit, or features other than `config` asks for.
        CheckpointError: a checkpoint that cannot be read or belongs to another run.
        ConfigError, PretrainedError: see `ser_core.architectures.build_model`.
        ConfigError, ArtifactError: see `ser_core.starts.begin_with`.
    """
    return TrainingRun(config, fold, store, torch.device(device), resume, room_bytes)


class TrainingRun(Iterator[EpochReport]):
    """Training under way: each `next` trains and validates one epoch.

    Iteration ends after `optim.epochs` epochs, or after `optim.early_stop_epochs` without a better validation score; it
    raises `Diverged` on a loss or gradient that is NaN or infinite.

    Attributes:
        config: as given. target: what is predicted, as in the store.
        meaning: makes probabilities or ratings of the model's outputs.
        reports: every epoch so far, those before a resume included.
        best_epoch: the first epoch with the highest validation score, the target's objective, counted from 1; 0 without
            validation.
        placement: where the clips come from.
        normalisation: mean and deviation per bin, from `fold.fit` alone; 0 and 1 for a model that takes raw features.
        model: the module with the weights after the last epoch, not averaged.
        precision: "fp32" or "bf16", what the optimiser's steps compute in: `config.precision` as it came out on this
            device. Validation and prediction compute in fp32, as the saved model does.
        precision_note: why it is fp32 although bf16 was to be used; "" otherwise.
    """

    def __init__(
        self,
        config: Config,
        fold: Fold,
        store: FeatureStore,
        device: torch.device,
        resume: Path | None,
        room_bytes: int | None,
    ) -> None:
        check_trainable(config, fold, store)
        self.config, self.target, self.device = config, store.target, device
        self.reports, self.best_epoch = list[EpochReport](), 0
        self._identity = run_identity(config, fold, store.fingerprint, self.target)
        self._place(fold, store, room_bytes)
        self._build(store.bins)
        if resume is None or not self._restore(resume):
            self._check_precision()

    def _place(self, fold: Fold, store: FeatureStore, room_bytes: int | None) -> None:
        """Put the data on the device, or where it can be read from, once for all epochs."""
        features = self.config.features
        if takes_raw_features(self.config):
            self.normalisation = no_normalisation(store.bins)
        else:
            self.normalisation = store.normalisation(fold.fit)
        self._clips = DeviceClips(
            store.frames,
            store.bounds,
            self.normalisation,
            view_frames=clip_frames(features),
            crop=features.crop,
            device=self.device,
            room_bytes=room_bytes,
        )
        self.placement: Placement = self._clips.placement
        self._largest_shift = round(self.config.augment.time_shift_seconds / frame_seconds(features))
        self._truth = store.truth
        self._head = head_of(self.config, self.target, store.truth, fold.fit, self.device)
        self.meaning = self._head.meaning
        self._fit_rows = torch.tensor(fold.fit, device=self.device)
        self._evaluate_rows = torch.tensor(fold.evaluate, device=self.device)

    def _build(self, bins: int) -> None:
        """The model with its first weights, and its optimiser."""
        config = self.config
        module, frames = architecture(config.architecture), clip_frames(config.features)
        self.precision, self.precision_note = resolve_precision(config.precision, module.PRECISION, self.device), ""
        with seeded(config.seed, 0, self.device):
            model = build_model(config, frames=frames, bins=bins, classes=len(self.target.names))
        if config.start:
            begin_with(Path(config.start), model, config, self.target.names)
        memory = torch.channels_last if module.CHANNELS_LAST else torch.preserve_format
        self.model: nn.Module = model.to(memory_format=memory).to(self.device)  # type: ignore[call-overload]
        self._optimizer = build_optimizer(self.model, config.optim)
        self._averaged = average_of(self.model, config.optim.average_decay)
        self._best: dict[str, Tensor] = {}

    @property
    def _kept(self) -> nn.Module:
        """What is validated and saved: the model, or the average of its weights."""
        return self.model if self._averaged is None else self._averaged.module

    def _check_precision(self) -> None:
        """Train in fp32 where bf16 computes the first batch wrongly: once found, it holds for the whole run.

        A run that goes on where it was interrupted keeps what it has, without a check that trained weights might fail;
        on another machine it is checked, and the note says from which epoch on it is fp32.
        """
        if self.precision == "bf16":
            batch = self._clips.batch(self._fit_rows[: full_clips_per_step(self.config)])
            if fault := bf16_fault(self.model, *batch):
                since = f" from epoch {len(self.reports) + 1} on, on another machine" if self.reports else ""
                self.precision, self.precision_note = "fp32", f"trained in fp32{since}, since in bf16 {fault}"

    def __next__(self) -> EpochReport:
        """Train one epoch and validate.

        Raises:
            StopIteration: the budget is spent, or early stopping set in.
            Diverged: a loss or gradient is NaN or infinite.
        """
        if training_ends(self.config.optim, len(self.reports), self.best_epoch):
            raise StopIteration
        return self.advance()

    def advance(self) -> EpochReport:
        """Train one epoch and validate, whether or not the budget is spent.

        Raises:
            Diverged: a loss or gradient is NaN or infinite.
        """
        started, epoch = time.perf_counter(), len(self.reports) + 1
        train_loss, rate = self._fit_epoch(epoch)
        validation = self._validate(epoch)
        report = EpochReport(
            epoch=epoch,
            train_loss=train_loss,
            learning_rate=rate,
            seconds=time.perf_counter() - started,
            **validation,
        )
        self.reports.append(report)
        objective = self.target.objective
        best = self.reports[self.best_epoch - 1].score(objective) if self.best_epoch else -math.inf
        if len(self._evaluate_rows) and report.score(objective) > best:
            self.best_epoch = epoch
            self._best = {name: tensor.clone() for name, tensor in trained_state(self._kept).items()}
        return report

    def _fit_epoch(self, epoch: int) -> tuple[float, float]:
        """One pass over the fit clips in random order -> mean loss, last learning rate; NaN where steps have none."""
        if isinstance(self.model, FitsItself):
            rows = self._fit_rows
            labels, weights = self._head.classes_of(rows)
            fitted = fit_at_once(self.model, self._clips, rows, labels, weights, epoch=epoch, config=self.config)
            return fitted, math.nan
        optim = self.config.optim
        loss_sum = torch.zeros((), device=self.device)  # summed on the device: reading it would wait for every step
        norm_sum = torch.zeros((), device=self.device)
        if isinstance(self.model, TrainsInStages):
            self.model.begin_epoch(epoch)
        self.model.train()
        with seeded(self.config.seed, epoch, self.device):
            order = self._head.drawn(self._fit_rows)
            steps = steps_of(order, self._clips.seen_frames, self.config)
            with closing(self._clips.batches(self._wanted(steps))) as batches:
                for index, step in enumerate(steps):
                    rate = learning_rate((epoch - 1) * len(steps) + index, optim.epochs * len(steps), optim)
                    loss, norm = self._step(step, batches, rate)
                    loss_sum += loss * step.clips
                    norm_sum += norm
        loss_mean = loss_sum.item() / sum(step.clips for step in steps)
        if not (math.isfinite(loss_mean) and math.isfinite(norm_sum.item())):
            raise Diverged(
                epoch,
                f"training loss {loss_mean}, sum of gradient norms {norm_sum.item()}; "
                f"lower optim.learning_rate ({optim.learning_rate}) or optim.clip_norm ({optim.clip_norm})",
            )
        return loss_mean, rate

    def _wanted(self, steps: Sequence[Step]) -> list[Wanted]:
        """What is read for the steps of an epoch: all draws that decide it are made before the first is."""
        parts = [part for step in steps for part in step.parts]
        shifts: Sequence[Tensor | None] = [None] * len(parts)
        if self._largest_shift:
            sizes = [len(part) for part in parts]
            shifts = random_shifts(sum(sizes), self._largest_shift, self.device).split(sizes)
        views = [step.view for step in steps for _ in step.parts]
        return [Wanted(part, shift, view) for part, shift, view in zip(parts, shifts, views, strict=True)]

    def _step(self, step: Step, batches: Iterator[Batch], rate: float) -> tuple[Tensor, Tensor]:
        """One step of the optimiser on the next batches -> loss and gradient norm, scalars on the device."""
        optim = self.config.optim
        self._optimizer.zero_grad(set_to_none=True)
        losses = []
        for part in step.parts:
            losses.append(self._loss(part, *next(batches)) * (len(part) / step.clips))
            losses[-1].backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), optim.clip_norm or math.inf)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["scale"]
        self._optimizer.step()
        if self._averaged is not None:
            self._averaged.update_parameters(self.model)
        return torch.stack(losses).detach().sum(), norm

    def _loss(self, rows: Tensor, features: Tensor, lengths: Tensor) -> Tensor:
        """Training loss of the clips `rows` (batch,), augmented: a scalar.

        Args:
            features, lengths: (batch, frames, bins), (batch,) of the clips.
        """
        config = self.config
        wanted = self._head.wanted(rows)  # (batch, outputs)
        features, lengths, wanted = augment(features, lengths, wanted, config.augment, of=config.features)
        outputs = logits_of(self.model, features, lengths, self.precision)  # (batch, outputs)
        return self._head.loss(outputs, wanted)

    def _validate(self, epoch: int) -> dict[str, Any]:
        """What a report says of the clips to evaluate, with the present weights; NaN when there are none."""
        if not len(self._evaluate_rows):
            return {"val_loss": math.nan}
        outputs = evaluate(self._kept, self._clips, self._evaluate_rows)
        loss = self._head.validation_loss(outputs, self._evaluate_rows).item()
        if not math.isfinite(loss):
            rate = self.config.optim.learning_rate
            raise Diverged(epoch, f"validation loss {loss}; lower optim.learning_rate ({rate})")
        told, rows = self.meaning(outputs).cpu().numpy(), self._evaluate_rows.cpu().numpy()
        (sums,) = self.target.sums(self._truth[rows], told, np.zeros(len(rows), dtype=np.int64), 1)
        return {
            "val_loss": loss,
            "scores": {name: float(self.target.score(name, sums)) for name in self.target.scores},
            "sums": self.target.reported(sums),
        }

    def predict(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities or ratings (rows, outputs) float32 of any clips (rows,) of the store, with the best weights."""
        present = {name: tensor.clone() for name, tensor in trained_state(self._kept).items()}
        load_trained_state(self._kept, self._best or present)
        outputs = evaluate(self._kept, self._clips, torch.tensor(rows, device=self.device))
        load_trained_state(self._kept, present)
        return self.meaning(outputs).cpu().numpy()

    def predict_validation(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows (rows,) of `fold.evaluate` and what is predicted (rows, outputs), with the best weights."""
        rows = self._evaluate_rows.cpu().numpy()
        return rows, self.predict(rows)

    def best_weights(self) -> dict[str, Tensor]:
        """The best epoch's weights, the last epoch's where there is no validation: copies on the CPU."""
        weights = self._best or trained_state(self._kept)
        return {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}

    def save(self, path: Path, *, earlier: Sequence[EpochReport] = ()) -> None:
        """Write a complete checkpoint, from which `train(…, resume=path)` goes on.

        Args:
            earlier: reports of folds that were trained before this one, to be kept with it.

        Raises:
            OSError: a full or read-only disk; what was at `path` stays.
        """
        checkpoint = Checkpoint(
            identity=self._identity,
            reports=self.reports,
            best_epoch=self.best_epoch,
            precision=self.precision,
            precision_note=self.precision_note,
            machine=machine_of(self.device),
            weights=trained_state(self.model),
            best=self._best,
            average=trained_state(self._averaged) if self._averaged is not None else {},
            optimizer=optimizer_tensors(self._optimizer),
            earlier=earlier,
        )
        write_checkpoint(path, checkpoint)

    def _restore(self, path: Path) -> bool:
        """Go on from a checkpoint; False where its precision is to be checked on this machine."""
        checkpoint = read_checkpoint(path)
        check_identity(path, checkpoint.identity, self._identity)
        self.reports, self.best_epoch = list(checkpoint.reports), checkpoint.best_epoch
        if checkpoint.precision:
            self.precision, self.precision_note = checkpoint.precision, checkpoint.precision_note
        load_trained_state(self.model, checkpoint.weights)
        self._best = {name: tensor.to(self.device) for name, tensor in checkpoint.best.items()}
        load_optimizer_tensors(self._optimizer, checkpoint.optimizer)
        if self._averaged is not None:
            load_trained_state(self._averaged, checkpoint.average)
        return bool(checkpoint.precision) and checkpoint.machine == machine_of(self.device)

    def close(self) -> None:
        """Free the device's memory. Only plain attributes, such as `reports`, can be used afterwards."""
        del self.model, self._optimizer, self._averaged, self._best, self._clips
        del self._head, self.meaning, self._fit_rows, self._evaluate_rows
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
