"""Models on a model hub, by the name hf:USER/NAME or hf:USER/NAME@REVISION wherever a model folder is taken.

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HOME` and `HF_HUB_OFFLINE` hold, as for every program that uses the hub.
"""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

from ser_core.errors import UserError

PREFIX = "hf:"
FILES = ["*.json", "*.safetensors", "*.md", "*.txt", "*.png"]
"""What a model folder holds; nothing else is fetched, and none of it is code."""
FORMS = ["*.onnx", "transformers/*", "*/transformers/*"]
"""The same models for other programs, by far the largest part where an encoder is with them."""

_CLIENTS = ("httpx", "httpcore", "requests")
"""What the hub's library speaks HTTP with, in one version or another; their errors are none of the system's."""


class HubError(UserError, RuntimeError):
    """A hub that cannot be reached or refuses; the message says what to do."""


def on_hub(model: Path) -> bool:
    """True for the name of a model on the hub."""
    return str(model).startswith(PREFIX)


def fetched(model: Path) -> Path:
    """The folder of a model: of one on the hub the copy on this machine, brought up to date where the hub answers.

    Raises:
        HubError: no such model, no access to it, or neither a hub nor an earlier copy.
    """
    if not on_hub(model):
        return model
    from huggingface_hub import snapshot_download  # a second to import

    name, _, revision = str(model).removeprefix(PREFIX).partition("@")
    check_name(name)
    try:
        folder = snapshot_download(name, revision=revision or None, allow_patterns=FILES, ignore_patterns=FORMS)
    except Exception as error:  # huggingface_hub, its HTTP client and the system each raise their own
        refuse(
            f"model {model} cannot be had",
            error,
            "there is no copy on this machine: fetch the model where there is a network, `hf download USER/NAME "
            "--local-dir FOLDER`, and name the folder",
        )
    return Path(folder)


def check_name(name: str) -> None:
    """Raise `HubError` for what is no USER/NAME."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise HubError(f"a model on the hub is named USER/NAME; got {name!r}") from error
    if name.count("/") != 1:
        raise HubError(f"a model on the hub is named USER/NAME; got {name!r}")


def refuse(what: str, error: Exception, unreachable: str) -> NoReturn:
    """Raise a `HubError` for what the hub's library raised; `unreachable`: what to do where the hub does not answer."""
    from huggingface_hub import constants, errors

    text = str(error).strip()
    first = text.splitlines()[0] if text else type(error).__name__
    if isinstance(error, errors.RepositoryNotFoundError):  # of a private or gated one too
        advice = "check its name; for one that is private or gated, `hf auth login` or set HF_TOKEN"
    elif isinstance(error, errors.RevisionNotFoundError):
        advice = "check what follows the @"
    elif isinstance(error, errors.HfHubHTTPError) and not isinstance(error, errors.LocalEntryNotFoundError):
        advice = f"{constants.ENDPOINT} refused it"
    elif isinstance(error, OSError) or type(error).__module__.partition(".")[0] in _CLIENTS:
        advice = f"{constants.ENDPOINT} cannot be reached; {unreachable}"
    else:
        advice = f"{constants.ENDPOINT} does not answer as a hub does ({type(error).__name__})"
    raise HubError(f"{what}: {first}; {advice}") from error
