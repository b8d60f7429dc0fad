"""Defines ``hangtag label``, and registers this package's commands."""

from pathlib import Path
from typing import Annotated, Final

import typer

from models.options import ModelsOption, takes
from models.process import usable_cores
from models.reference import models_given
from worker.queue.commands import JOBS, submit_command, worker_command
from worker.registry.commands import MODELS
from worker.request import JobOptions, LabelRequest, SourceArgument

_DRAWING: Final = 2


def register(app: typer.Typer) -> None:
    """Add this package's commands to the command line."""
    app.command("label")(label_command)
    app.command("submit")(submit_command)
    app.command("worker")(worker_command)
    app.add_typer(JOBS, name="jobs")
    app.add_typer(MODELS, name="models")


@takes(options=JobOptions)
def label_command(
    source: SourceArgument,
    model: ModelsOption,
    output: Annotated[Path, typer.Option("--out", help="The result: a .parquet, .csv or .jsonl file.")],
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, one thread each. Default: one per core.")
    ] = None,
    previous: Annotated[
        Path | None,
        typer.Option(help="Reuse the labels of this earlier result for identical photos."),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Discard an earlier run, and start again.")] = False,
    retry: Annotated[
        bool,
        typer.Option("--retry-failed", help="Try failed rows again if they may succeed now (download, missing …)."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON instead of a table.")] = False,
    *,
    options: JobOptions,
) -> Path:
    """Label a catalogue: one row in, one row out, in the same order.

    A row goes to review if the model's confidence is too low for the promised precision, or for --threshold. With
    neither a promise nor --threshold, all rows go to review. After a stop or a kill, run the same command to continue.
    Exit status 1 if no photo could be labelled.

    Examples:

      hangtag label photos/ --model bundles/shop --out labels.parquet

      hangtag label products.csv --model bundles/shop --out labels.csv --image-column main_photo

      hangtag label s3://shop/urls.csv --model bundles/shop --out labels.parquet --group-column sku

      hangtag label tonight.csv --model bundles/shop --out tonight.parquet --previous yesterday.parquet

      hangtag label shop.csv --model category=shop@champion --model colour=colours@champion --out labels.parquet
    """
    from models.session import load_runtime
    from worker.console import label_with_progress
    from worker.labelling.process_pool import LABELLING, ProcessPool
    from worker.results.receipt_page import DRAWING, draw

    load_runtime()
    with ProcessPool(LABELLING, workers or usable_cores()) as processes, ProcessPool(DRAWING, _DRAWING) as drawing:
        drawing.fork(draw, _DRAWING)
        request = LabelRequest(
            source,
            models_given(model),
            options,
            output=output,
            previous=previous,
            workers=workers,
            restart=restart,
            retry_failed=retry,
        )
        label_with_progress(request, as_json=as_json, processes=processes, drawing=drawing)
    return output
