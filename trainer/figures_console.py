"""How figures of a model look on a terminal: at the end of a training, and of ``hangtag evaluate``."""

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from models.photo import NONE
from models.terminal import Console, print_table
from models.text import number_of
from pages.text import rounded

if TYPE_CHECKING:
    from trainer.judging.evaluate import Evaluation, Judged
    from trainer.judging.figures import ClassFigures, Figures, OutlierFigures
    from trainer.run import RunArgs


def show_evaluation(evaluation: "Evaluation", args: "RunArgs", console: Console, missing_folds: int = 0) -> None:
    """Show what a training came to; ``missing_folds``: how many somebody's stop has left out."""
    from trainer.judging.evaluate import Judged
    from trainer.judging.figures import distances_text, levels_text

    split = evaluation.shown
    figures = evaluation.figures_of(split)
    if figures is None:
        return
    what = f"{args.folds} folds" if figures is evaluation.cv else f"Epoch {args.best_epoch}"
    print_table(figures_table(figures, f"{what}, on {number_of(figures.n, f'{split.word} photo')}"), console)
    console.print()
    _show_precisions(evaluation, args, split, missing_folds, console)
    tested = Judged.TEST if evaluation.test else split
    for target in evaluation.thresholds:
        achieved = evaluation.coverage_at_precision[f"{target.precision:.2f}"].of(tested)
        if achieved and achieved.levels and target.coverage:
            console.print(f"{target.precision:.2f} on {tested.word}: {levels_text(achieved)}", highlight=False)
    if evaluation.distances and (away := evaluation.distances.of(tested)):
        console.print(distances_text(away), highlight=False)
    console.print()
    _show_accuracy(evaluation, args, split, figures, console)
    if evaluation.unknown and (outliers := evaluation.unknown.outliers):
        show_outliers(outliers, console)
    _show_label_errors(evaluation, console)


def _show_accuracy(
    evaluation: "Evaluation", args: "RunArgs", split: "Judged", figures: "Figures", console: Console
) -> None:
    before = evaluation.ece_before.of(split)
    was = "" if before is None else f"{before:.3f} → "
    console.print(f"{accuracy_text(figures, split.word)}, calibration error {was}{figures.ece:.3f}", highlight=False)
    if evaluation.test and figures is not evaluation.test:
        photos = number_of(evaluation.test.n, "photo")
        console.print(f"{accuracy_text(evaluation.test, 'test')}, {photos}", highlight=False)
        console.print(f"(rely on the figure from {figures.n:,} photos: with more photos, less is chance)", style="dim")
    last = ", the last" if args.best_epoch == args.epochs_done else ""
    console.print(f"Kept: epoch {args.best_epoch}{last}, with averaged weights", highlight=False)
    if last and args.epochs_done > 1:
        console.print("(by then the learning rate has fallen; an earlier ★ is better only by chance)", style="dim")


def _show_label_errors(evaluation: "Evaluation", console: Console) -> None:
    if evaluation.unlisted:
        console.print(f"No list of likely label errors: {evaluation.unlisted}", highlight=False)
    if evaluation.label_errors:
        listed = evaluation.label_errors.rows[-1]
        low, high = (f"{share:.0%}" for share in sorted((listed.alike, listed.mixed_up)))
        shown = low if low == high else f"{low[:-1]} to {high}"
        console.print(
            f"{number_of(listed.rows, 'likely label error')}: look at label_issues.csv, and correct what is wrong\n"
            f"(in a trial, such a list showed {shown} of the labels that were made wrong)",
            highlight=False,
        )


def accuracy_text(figures: "Figures", of: str = "") -> str:
    """The accuracy of some photos with its interval."""
    low, high = figures.accuracy_95
    return f"{of}{' ' if of else ''}accuracy [bold]{figures.accuracy:.4f}[/bold] (95%: {low:.3f}–{high:.3f})"


def show_outliers(outliers: "OutlierFigures", console: Console) -> None:
    """Say how many photos of no product are found."""
    low, high = outliers.caught_95
    console.print(
        f"{number_of(outliers.n, 'photo')} of no product ({NONE}): [bold]{outliers.caught:.0%}[/bold] are unknown "
        f"(95%: {low:.3f}–{high:.3f}) and go to a person",
        highlight=False,
    )


def _unpromised(evaluation: "Evaluation", args: "RunArgs", missing_folds: int) -> list[str]:
    """Why no precision can be promised, how the surest photos did all the same, and what to do."""
    from trainer.judging.unpromised import advice_for_promise

    advice = advice_for_promise(args, folds_may_prove=evaluation.folds_may_prove, missing_folds=missing_folds)
    why, *others = evaluation.unpromised(pooled=args.pools_folds)
    unless = "Every photo goes to a person, unless --threshold asks for labels all the same."
    return [why, unless, *others, advice]


def _show_precisions(
    evaluation: "Evaluation", args: "RunArgs", split: "Judged", missing_folds: int, console: Console
) -> None:
    """A table of the precisions that can be asked for and what each costs, or why none can.

    What they came to is of test photos where there are any: on the others the thresholds were chosen.
    """
    from models.statistics.thresholds import default_precision
    from trainer.judging.evaluate import Judged

    if not any(target.coverage for target in evaluation.thresholds):
        for sentence in _unpromised(evaluation, args, missing_folds):
            console.print(escape(sentence), highlight=False)
        return
    split = Judged.TEST if evaluation.test else split
    ruling = default_precision(evaluation.thresholds)
    table = Table(title="Share of photos that need no person, by the precision asked for", title_justify="left")
    for heading in ("--precision", "expected", f"on {split.word}", "right", "95%", "wrong"):
        table.add_column(heading, justify="right")
    for target in evaluation.thresholds:
        found = evaluation.coverage_at_precision[f"{target.precision:.2f}"].of(split)
        cells = [rounded(found.coverage) if found else "–", "–", "–", "–"]
        if found and found.precision is not None:
            low, high = found.precision_95
            cells[1:] = f"{found.precision:.3f}", f"{low:.3f}–{high:.3f}", f"{found.wrong:,}"
        style = "bold" if target.precision == ruling else None
        table.add_row(f"{target.precision:.2f}", rounded(target.coverage), *cells, style=style)
    own = "every photo goes to a person" if ruling is None else f"{ruling:.2f} rules"
    reasons = (f"{one:.2f} {why}" for one, why in evaluation.unproved(pooled=args.pools_folds).items())
    table.caption = "\n".join((f"{own} if none is asked for", *reasons))
    table.caption_justify = "left"
    print_table(table, console)


def figures_table(figures: "Figures", title: str) -> Table:
    """A row a class, and one for all."""
    table = Table("class", title=title, title_justify="left")
    for heading in ("precision", "recall", "F1", "photos"):
        table.add_column(heading, justify="right")

    def cells(row: "Figures | ClassFigures") -> tuple[str, str, str]:
        return f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}"

    for name, row in figures.classes.items():
        table.add_row(escape(name), *(cells(row) if row.support else ("–",) * 3), f"{row.support:,}")
    table.add_section()
    table.add_row("mean", *cells(figures), f"{figures.n:,}", style="bold")
    return table
