"""A model as a service: HTTP and WebSocket, with a page to try it.

    python search/serve.py MODEL
    python search/serve.py MODEL --engine onnx --port 8081

MODEL is a model folder, a run folder or an ensemble. SIGTERM or Ctrl-C ends it, once what it accepted is answered.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.driver.user_errors import USER_ERRORS, explained
from search.service.asked import DEFAULT_PORT, LOOPBACK, MOST_CROPS, WINDOW_MS, Asked, Engine, check_installed
from search.service.limits import Limits
from search.wording import printable

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
DEFAULT = Limits()


@app.command()
def command(
    model: Annotated[Path, typer.Argument(help="A run folder, or the folder of a model or an ensemble.")],
    engine: Annotated[Engine, typer.Option(help="What the model runs in.")] = Engine.TORCH,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 …")] = "cpu",
    host: Annotated[str, typer.Option(help="The address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65_535)] = DEFAULT_PORT,
    max_batch: Annotated[
        int, typer.Option(help="Crops that the model hears at once; 1 is without batching.", min=1)
    ] = MOST_CROPS,
    batch_window_ms: Annotated[
        float, typer.Option(help="How long a crop waits for company where nobody else waits, ms.", min=0)
    ] = WINDOW_MS,
    max_mib: Annotated[int, typer.Option(help="Most of a request, MiB.", min=1)] = DEFAULT.request_mib,
    max_seconds: Annotated[int, typer.Option(help="Most speech in a file, s.", min=1)] = DEFAULT.file_seconds,
    queue: Annotated[int, typer.Option(help="Most files that wait at a time.", min=1)] = DEFAULT.queue,
    streams: Annotated[int, typer.Option(help="Most streams at a time.", min=1)] = DEFAULT.streams,
    receive_seconds: Annotated[
        float, typer.Option(help="For a request to arrive, s.", min=0.1)
    ] = DEFAULT.receive_seconds,
    answer_seconds: Annotated[float, typer.Option(help="For its answer, s.", min=0.1)] = DEFAULT.answer_seconds,
) -> None:
    """Serve MODEL over HTTP, with a page to try it."""
    try:
        check_installed()
        from search.service.server import serve  # torch takes seconds to load

        limits = Limits(
            request_mib=max_mib,
            file_seconds=max_seconds,
            queue=queue,
            streams=streams,
            receive_seconds=receive_seconds,
            answer_seconds=answer_seconds,
        )
        asked = Asked(
            model=model,
            engine=engine,
            device=device,
            host=host,
            port=port,
            max_batch=max_batch,
            batch_window_ms=batch_window_ms,
            limits=limits,
        )
        serve(asked, typer.echo)
    except (*USER_ERRORS, OSError) as error:
        typer.echo(f"error: {printable(explained(error))}", err=True)
        raise typer.Exit(2) from None


def main() -> None:
    """The command."""
    app()


if __name__ == "__main__":
    main()
