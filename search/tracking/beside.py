"""The process that sends a run to a tracker while its driver works: it reads the run folder, and the driver waits for
nothing.

    python -m search.tracking.beside RUN TRACKER PLACE EXPERIMENT

It ends soon after its standard input does, however the driver ends. What happens is printed, a line each; the exit code
is 0 when everything was sent.
"""

from __future__ import annotations

import sys
import threading
import traceback
from pathlib import Path

from search.run_folder.paths import RECORDS_FILE
from search.run_folder.records_reader import read_records
from search.tracking.destination import Destination
from search.tracking.follower import Follower, sole_sender
from search.tracking.tracker import TrackerError
from ser_core.errors import UserError

LOOK_SECONDS = 2.0
"""Between two looks at the records."""
MOST_PAUSE = 60.0
"""Between two tries to reach a tracker that could not be reached."""


def follow(folder: Path, destination: Destination, over: threading.Event) -> bool:
    """Send the run until `over` is set, and then what is left; True when everything was sent."""
    while not read_records(folder / RECORDS_FILE).sessions:
        if over.wait(LOOK_SECONDS):
            return True
    with sole_sender(folder, destination):
        follower = Follower(folder, destination, follows=True)
        pause, ended, problem = LOOK_SECONDS, False, ""
        while True:
            try:
                follower.update(working=not ended)
                if ended:
                    follower.close()
                    return True
                if problem:
                    _say(f"{destination} is reached again")
                pause, problem = LOOK_SECONDS, ""
            except TrackerError as error:
                if not problem:
                    _say(f"{error}. The run goes on; what is not sent is kept and tried again")
                pause, problem = min(2 * pause, MOST_PAUSE), str(error)
                if ended:
                    return False
            ended = over.wait(pause)


def _say(text: str) -> None:
    print(text, flush=True)


def _wait_for_end(over: threading.Event) -> None:
    sys.stdin.buffer.read()
    over.set()


def main() -> None:
    """The process."""
    folder, tracker, place, experiment = sys.argv[1:]
    destination = Destination(tracker=tracker, place=place, experiment=experiment)
    over = threading.Event()
    threading.Thread(target=_wait_for_end, args=(over,), daemon=True).start()
    try:
        sent = follow(Path(folder), destination, over)
    except (UserError, OSError) as error:
        _say(str(error))
        sent = False
    except Exception as error:  # whoever reads the terminal must not look for it at the tracker
        at = traceback.extract_tb(error.__traceback__)[-1]
        _say(
            f"Nothing more is sent to {destination}, for which the tracker is not to blame: {type(error).__name__}: "
            f"{error} ({Path(at.filename).name}, line {at.lineno}). The run goes on"
        )
        sent = False
    sys.exit(0 if sent else 1)


if __name__ == "__main__":
    main()
