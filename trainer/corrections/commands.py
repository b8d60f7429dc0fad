"""``hangtag corrections``."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from models.options import JsonOption

CorrectionsOption = Annotated[
    Path | None,
    typer.Option(
        "--corrections",
        metavar="FILE",
        help="The corrections file, or the config file (TOML) of the retraining that uses it. Default: "
        "corrections.csv.",
        show_default=False,
    ),
]


def register(app: typer.Typer, corrections_of: Callable[[Path], Path | None]) -> None:
    """Add ``hangtag corrections`` to the command line. ``corrections_of`` reads the corrections' path from a config."""
    group = typer.Typer(
        help="Reviewers' labels for the next retraining. Without a command: show the labels as a table.",
        invoke_without_command=True,
        context_settings={"obj": corrections_of},
        rich_markup_mode="rich",
    )
    group.callback()(corrections_command)
    group.command("import")(import_command)
    group.command("apply")(apply_command)
    group.command("list")(list_command)
    app.add_typer(group, name="corrections")


def corrections_command(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the corrections in corrections.csv, if there is no command."""
    if context.invoked_subcommand is None:
        list_command(context, as_json=as_json)


def import_command(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A CSV: a job's review.csv with labels in the column correct_label, or rows in the format of "
            "corrections.csv.",
        ),
    ],
    corrections: CorrectionsOption = None,
    reviewer: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The reviewer's name, for rows without a name.", show_default=False),
    ] = None,
    image_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column with the photos.", show_default=False)
    ] = None,
    image_root: Annotated[
        Path | None,
        typer.Option(
            help="The folder to which paths are relative. Default: the image root of the job or run next "
            "to FILE, or else FILE's folder.",
            show_default=False,
        ),
    ] = None,
    new_label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL",
            help="Accept this new label. Repeat the option for several labels.",
            show_default=False,
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="FILE's encoding, such as cp1252. Default: UTF-8.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import a reviewer's labels. If one row is invalid or has an unknown label, no row is imported.

    Exit status 4 if no row has an answer. A photo on which reviewers disagree is left out of training until they agree.

    Examples:

      hangtag corrections import labels.parquet.job/review.csv --reviewer anna --image-root photos/

      hangtag corrections import corrected.csv --corrections retrain.toml

      hangtag corrections import corrected.csv --new-label hats
    """
    from trainer.corrections.importing import ImportOptions
    from trainer.corrections.screen import import_and_show

    options = ImportOptions(reviewer, image_column, image_root, tuple(new_label or ()), encoding)
    import_and_show(file, corrections, context.obj, options, as_json=as_json)


def apply_command(
    context: typer.Context,
    labels: Annotated[
        str, typer.Argument(metavar="JOB|FILE", help="A result of hangtag label, or the name of a queued job.")
    ],
    corrections: CorrectionsOption = None,
    jobs: Annotated[
        str,
        typer.Option("--jobs", metavar="DIR", envvar="HANGTAG_JOBS", help="The folder of jobs, or an s3:// URL."),
    ] = "jobs",
    output: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "--output",
            metavar="FILE",
            help="The path of the copy: .parquet, .csv or .jsonl. Default: next to the result, as in "
            "labels.corrected.parquet.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a copy of a result with the labels on which reviewers agree. The original does not change.

    The copy has all rows in the same order, and three more columns: reviewed_by, was (the label before) and remark.
    review.corrected.csv in the job's folder lists the rows that still need review. With a group column,
    by_group.corrected has the products' new labels.

    Examples:

      hangtag corrections apply labels.parquet

      hangtag corrections apply spring-2026 --jobs /mnt/jobs --corrections shared/corrections.csv

      hangtag corrections apply labels.csv --out corrected.csv --json
    """
    from trainer.corrections.screen import apply_and_show, open_store

    apply_and_show(labels, jobs, open_store(corrections, context.obj), output, as_json=as_json)


def list_command(context: typer.Context, corrections: CorrectionsOption = None, as_json: JsonOption = False) -> None:
    """Show the labels on which reviewers agree, latest first, and the photos on which they disagree.

    Examples:

      hangtag corrections list

      hangtag corrections list --corrections retrain.toml --json
    """
    from trainer.corrections.screen import list_corrections, open_store

    list_corrections(open_store(corrections, context.obj), as_json=as_json)
