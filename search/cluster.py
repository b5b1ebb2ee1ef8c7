"""Checks the file of a Ray cluster before it costs money.

    python search/cluster.py check cluster.yaml

Ray's own validation lets much pass that ends in machines which cost money and never join: `search.cluster_check`
holds the rules. Nothing is started, and no machine or cloud is asked.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from search.cluster_check.check import findings
from search.cluster_check.cluster_file import ClusterFileError, load_cluster_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def _group() -> None:
    """Ray clusters for ser-search."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A file for `ray up`, or a RayCluster for Kubernetes.")],
) -> None:
    """Find what `ray up` would not. The exit code is 1 when something was found, 2 for a file that cannot be read."""
    console = Console()
    try:
        found = findings(load_cluster_file(file, Path.cwd()))
    except ClusterFileError as error:
        console.print(Text(f"error: {error}"), soft_wrap=True)
        raise typer.Exit(2) from None
    if not found:
        console.print(Text(f"{file}: nothing found that would keep the cluster from working"), soft_wrap=True)
        return
    for finding in found:
        where, rest = Text(finding.where, style="bold"), f"\n  {finding.problem}\n  -> {finding.remedy}"
        console.print(where + Text(rest), soft_wrap=True)
    console.print(Text(f"{file}: {len(found)} to mend before `ray up`"), soft_wrap=True)
    raise typer.Exit(1)


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
