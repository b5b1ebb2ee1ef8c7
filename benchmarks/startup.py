"""How long the command line takes to answer: processor time and memory of `--help`, a mistake and a dry run.

    python benchmarks/startup.py

On a quiet machine `--help` and mistakes are to stay under 0.6 s of processor time. Each command is run several times;
the fastest counts, since whatever else the machine does only ever adds.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

REPOSITORY = Path(__file__).resolve().parents[1]
RUN = [sys.executable, str(REPOSITORY / "search" / "run.py")]
COMMANDS = {
    "ser --help": [sys.executable, "-m", "search", "--help"],
    "run.py --help": [*RUN, "--help"],
    "an unknown option": [*RUN, "--trails", "3"],
    "an unknown model": [*RUN, "--model", "mpl", "--data", "demo"],
    "an unknown setting": [*RUN, "--model", "mlp", "--data", "demo", "--set", "optim.rate=1"],
    "a dry run": [*RUN, "--model", "mlp", "--data", "demo", "--dry-run"],
}


def measure(command: list[str], cache: str) -> tuple[float, float]:
    """Processor time in s and largest resident memory in MB of a command, its output thrown away."""
    with open(os.devnull, "w") as nothing:
        actions = [(os.POSIX_SPAWN_DUP2, nothing.fileno(), number) for number in (1, 2)]
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        process = os.posix_spawn(command[0], command, environment, file_actions=actions)
        _, _, used = os.wait4(process, 0)
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5, help="runs of each command (default: 5)")
    repeat = parser.parse_args().repeat
    table = Table("Command", "Processor time, s", "Memory, MB", title=f"The fastest of {repeat} runs")
    with tempfile.TemporaryDirectory() as cache:
        for name, command in COMMANDS.items():
            seconds, megabytes = min(measure(command, cache) for _ in range(repeat))
            table.add_row(name, f"{seconds:.2f}", f"{megabytes:.0f}")
    Console().print(table)


if __name__ == "__main__":
    main()
