"""Signals to a process that is busy, as a shell, a scheduler and a closed terminal send them."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from search.interruption import SIGNALS
from tests.search.signals import heed_signals

LONGEST = 120.0
"""Seconds to wait for anything, on a busy machine."""
PROGRAM = """
import ctypes, pathlib, signal, sys, time
from search.interruption import interrupts

def wait():
    while not asked():
        time.sleep(0.01)

with interrupts("last words") as asked:
    print("ready", flush=True)
    {body}
print("left", flush=True)
"""
WAIT = "wait()"
STUCK = "c, lock = ctypes.CDLL(None), bytes(64); c.pthread_mutex_lock(lock); c.pthread_mutex_lock(lock)"
"""A call from which no signal brings the main thread back to Python, as some of Ray's."""


def start(body: str, preparation: Callable[[], object] = heed_signals) -> subprocess.Popen[str]:
    """A process that is inside of `interrupts`."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(body=body)], stdout=subprocess.PIPE, text=True, preexec_fn=preparation
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_a_request(number: signal.Signals) -> None:
    process = start(WAIT)
    process.send_signal(number)
    assert process.communicate(timeout=LONGEST)[0] == "left\n"
    assert process.returncode == 0


def test_two_signals_at_the_same_moment_are_one_request() -> None:
    """`timeout` signals the process that it started, and then the group, in which that is."""
    process = start(f"{WAIT}; time.sleep(2)")
    for number in (signal.SIGSTOP, signal.SIGTERM, signal.SIGINT, signal.SIGCONT):
        process.send_signal(number)
    assert process.communicate(timeout=LONGEST)[0] == "left\n"
    assert process.returncode == 0


def test_a_terminal_that_is_closed_asks_once_although_a_busy_process_hears_of_it_twice() -> None:
    process = start(f"{WAIT}; time.sleep(2)")
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)  # longer than signals of other kinds may lie apart
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=LONGEST)[0] == "left\n"


def test_a_second_request_ends_what_is_stuck_outside_of_python() -> None:
    process = start(f"print('stuck', flush=True); {STUCK}")
    assert process.stdout is not None
    assert process.stdout.readline() == "stuck\n"
    process.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):  # the first is only a request
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=LONGEST)[0] == "last words"
    assert process.returncode == 130


CLOSED_TERMINAL = """
import fcntl, os, pty, subprocess, sys, termios

ours, terminal = pty.openpty()
process = subprocess.Popen(
    [sys.executable, "-c", sys.argv[1]], stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
)
os.close(terminal)
seen = b""
while not seen.endswith(b"ready\\r\\n"):  # closed any sooner, it would fail the rest of that line
    seen += os.read(ours, 64)
os.close(ours)
print("ended with", process.wait())
"""


def test_a_process_whose_terminal_was_closed_goes_on_to_its_end(tmp_path: Path) -> None:
    """What it prints then would raise an error. The terminal belongs to a process that has no other children."""
    saved = tmp_path / "saved"
    body = f"{WAIT}; print('stopping', flush=True); pathlib.Path({str(saved)!r}).touch()"
    words = [sys.executable, "-c", CLOSED_TERMINAL, PROGRAM.format(body=body)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LONGEST, preexec_fn=heed_signals)
    assert done.stdout == "ended with 0\n", done.stderr
    assert saved.exists()


def test_under_nohup_a_closed_terminal_is_no_request() -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("print(signal.getsignal(signal.SIGHUP) is signal.SIG_IGN)", ignore)
    assert process.stdout is not None
    assert process.stdout.read() == "True\nleft\n"  # `communicate` leaves out what came along with the first line
    assert process.wait(LONGEST) == 0
