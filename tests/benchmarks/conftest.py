"""Scripts in benchmarks/ import their siblings as top-level modules; so do their tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
