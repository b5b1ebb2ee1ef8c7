"""What an error says to the user: the disk is blamed for what is the disk's fault, and for nothing else."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from search.driver.user_errors import explained


def os_error(number: int, file: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), file)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (os_error(errno.ENOSPC, "a.json"), "the disk refused: No space left on device (a.json)."),
        (os_error(errno.EROFS), "the disk refused: Read-only file system."),
        (os_error(errno.EACCES, "a.json"), "Permission denied (a.json)."),
        (os_error(errno.EADDRINUSE), "Address already in use."),
        (os_error(errno.EMFILE), "Too many open files."),
        (OSError("no such host as hub.example"), "no such host as hub.example"),
    ],
)
def test_an_error_of_the_system_says_what_happened(error: OSError, text: str) -> None:
    assert explained(error) == text


def test_the_advice_that_an_error_was_given_on_its_way_follows(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "missing").read_text()
    caught.value.add_note("What was done is kept; mend that, then --resume RUN")
    assert explained(caught.value) == (
        f"No such file or directory ({tmp_path}/missing). What was done is kept; mend that, then --resume RUN"
    )
