"""Initial weights for image networks, from timm's hub or a file: loaded whole or refused, never silently random."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from ser_core.errors import UserError

T = TypeVar("T")

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
"""What a folder saved by timm or fetched from its hub holds."""
OFFLINE_ADVICE = (
    "Without internet: fetch the weights elsewhere and give the file or folder with --pretrained PATH, or ask for "
    "random weights with --pretrained none"
)


_may_fetch: ContextVar[bool] = ContextVar("may_fetch", default=True)


@contextmanager
def nothing_fetched() -> Iterator[None]:
    """In here no weights are downloaded, whatever asks for them: what is not on this machine is refused.

    For who uses a model that may come from elsewhere, and whose settings name other weights.
    """
    token = _may_fetch.set(False)
    try:
        yield
    finally:
        _may_fetch.reset(token)


def may_fetch() -> bool:
    """False within `nothing_fetched`."""
    return _may_fetch.get()


def local_first(load: Callable[[bool], T]) -> T:
    """`load` with what is on this machine alone (True), and only where that fails, with the hub as well (False).

    A run thus keeps the weights that its features were computed with, whatever is published under their name later.
    """
    if may_fetch():
        with suppress(Exception):
            return load(True)
    return load(not may_fetch())


def image_weights(name: str) -> dict[str, Tensor]:
    """Weights in timm's layout: from the file or folder at `name`, or else from the hub model of that name.

    Raises:
        PretrainedError: no such file or model, a file that cannot be read, or no way to the hub.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        files = [path / file for file in FOLDER_FILES if (path / file).is_file()]
        if not files:
            raise PretrainedError(f"folder {path.resolve()} holds no {' or '.join(FOLDER_FILES)}: check --pretrained")
        return read_checkpoint(files[0])
    if path.is_file():
        return read_checkpoint(path)
    if path.suffix in CHECKPOINT_SUFFIXES:
        raise PretrainedError(f"no file {path.resolve()} to take pretrained weights from: check --pretrained")
    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except Exception as error:  # timm, huggingface_hub, the HTTP client and torch each raise their own
        raise PretrainedError(
            f"pretrained weights {name!r} cannot be had: {reason(error)}\n{OFFLINE_ADVICE}"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors by name from safetensors or from a PyTorch file, of which nothing but tensors is unpickled.

    Raises:
        PretrainedError: another kind of file, a truncated one, or one that holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        if path.suffix in CHECKPOINT_SUFFIXES:
            content = torch.load(path, map_location="cpu", weights_only=True)
        else:
            raise PretrainedError(
                f"pretrained weights must be a file in {', '.join(CHECKPOINT_SUFFIXES)}; got {path.name}"
            )
    except PretrainedError:
        raise
    except Exception as error:  # safetensors, zipfile, pickle and torch each raise their own
        raise PretrainedError(
            f"{path} cannot be read as weights ({reason(error)}): it may be truncated, or hold more than tensors; "
            "fetch it again, or convert it to safetensors"
        ) from error
    for wrapper in ("model", "state_dict"):  # DeiT's and Lightning's files
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not all(isinstance(value, Tensor) for value in content.values()):
        raise PretrainedError(f"{path} must hold a mapping from names to tensors, as state_dict() gives")
    return dict(content)


def load_weights(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy `weights` into `module`, all of it and nothing else.

    Raises:
        PretrainedError: names or shapes that differ; the first few are listed.
    """
    wanted = module.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in weights]
    problems += [f"{name} is not part of this model" for name in weights if name not in wanted]
    problems += [
        f"{name} is {tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise PretrainedError(
            f"weights {source!r} do not fit: {'; '.join(problems[:3])}{more}: choose weights of the same architecture "
            "and size"
        )
    module.load_state_dict(dict(weights))


def reason(error: Exception) -> str:
    """First line of an error's message, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


class PretrainedError(UserError, RuntimeError):
    """Pretrained weights that cannot be had or do not fit; the message says which, why and what to do."""
