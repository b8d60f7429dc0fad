"""The top of a report's page: the numbers that matter most, and what they promise."""

from models.text import number_of
from pages.text import duration, isolated, visible
from trainer.data.dataset import Split
from trainer.judging.figures import Figures
from trainer.report.material import (
    ReportMaterial,
    caveat,
    of_split,
    outcome,
    promise,
    ruling,
    shown_figures,
    shown_split,
)
from trainer.report.page.table import rate_cell, table
from trainer.report.rates import between, percent, rounded, target_name
from trainer.run import RunState
from worker.page.sections import section

__all__ = ["figures_section", "heading"]

_FEW_CLASSES = 5


def heading(material: ReportMaterial) -> str:
    """Title, numbers, promise."""
    return f"<h1>{isolated(material.args.name)}</h1>{_lead(material)}{_numbers(material)}{_said(material)}"


def _lead(material: ReportMaterial) -> str:
    args = material.args
    epochs = f"{args.epochs_done:,} of {number_of(args.epochs, 'epoch', 'epochs')}"
    best = f", the best of them {args.best_epoch}" if args.best_epoch else ""
    stopped = ' <span class="badge">It was interrupted.</span>' if args.state is RunState.INTERRUPTED else ""
    size = args.preprocess.size
    classes = number_of(len(args.classes), "class", "classes")
    return f'<p class="faint">{args.arch}, {size}×{size} px, {classes}; {epochs}{best}.{stopped}</p>'


def _numbers(material: ReportMaterial) -> str:
    photos = sum(sum(counts.values()) for counts in material.prepared_counts.values())
    learned = sum(material.prepared_counts.get(Split.TRAIN, {}).values())
    took = duration(material.speed.train_seconds).split(" ")
    cards = (
        *_accuracy_card(material),
        *_coverage_card(material),
        *_calibration_card(material),
        _card(f"{photos:,}", "photos", f"{learned:,} to learn from", ""),
        _card(took[0], took[1], f"of training, {number_of(material.args.epochs_done, 'epoch', 'epochs')}", ""),
    )
    return f'<div class="numbers">{"".join(cards)}</div>'


def _accuracy_card(material: ReportMaterial) -> list[str]:
    figures = shown_figures(material)
    if not figures:
        return []
    split = shown_split(material).word
    return [
        _card(
            percent(figures.accuracy),
            f"{split} accuracy",
            f"{between(figures.accuracy_95)} with 95% confidence",
            "good",
        )
    ]


def _coverage_card(material: ReportMaterial) -> list[str]:
    target = ruling(material)
    if not target:
        return [_card("none", "precision promised", "every photo goes to a person", "review")]
    asked = f"at {target_name(target.precision)} precision"
    return [_card(rounded(target.coverage), "labelled by itself", asked, "labeled" if target.coverage else "review")]


def _calibration_card(material: ReportMaterial) -> list[str]:
    figures, before = shown_figures(material), of_split(material.evaluation.ece_before, shown_split(material))
    if not figures:
        return []
    was = f"{before:.3f} before the temperature" if before is not None else "the lower, the better"
    return [_card(f"{figures.ece:.3f}", "calibration error", was, "")]


def _card(number: str, what: str, detail: str, kind: str) -> str:
    return f'<div class="{kind}"><b>{number}</b>{what}<span>{detail}</span></div>'


def _said(material: ReportMaterial) -> str:
    kind = "labeled" if ruling(material) else "review"
    sentences = [promise(material), outcome(material)]
    said = f'<div class="said promise {kind}">{"".join(f"<p>{visible(text)}</p>" for text in sentences if text)}</div>'
    warning = caveat(material)
    return said + (f'<div class="said review"><p>{visible(warning)}</p></div>' if warning else "")


def figures_section(material: ReportMaterial) -> str:
    """Every figure of both splits."""
    splits = {Split.TEST: material.evaluation.test, Split.VAL: material.evaluation.val}
    many = len(material.args.classes) > _FEW_CLASSES
    rows = "".join(_figures_row(split, figures, many=many) for split, figures in splits.items() if figures)
    top = '<th class="n">top 5</th>' if many else ""
    names = "<th>accuracy</th><th>precision</th><th>recall</th><th>F1</th>"
    head = f'<th>split</th><th class="n">photos</th>{names}{top}<th class="n">ECE</th>'
    note = "Precision, recall and F1 are means over the classes. The band is where the figure lies with 95% confidence."
    return section("Figures", table("figures means", head, rows) + f'<p class="faint">{note}</p>', "", "figures")


def _figures_row(split: Split, figures: Figures, *, many: bool) -> str:
    cells = "".join(
        rate_cell(name, rate, interval)
        for name, rate, interval in (
            ("accuracy", figures.accuracy, figures.accuracy_95),
            ("precision", figures.precision, figures.precision_95),
            ("recall", figures.recall, figures.recall_95),
            ("F1", figures.f1, figures.f1_95),
        )
    )
    top = (
        f'<td class="n" data-name="top 5">{percent(figures.top5) if figures.top5 is not None else "–"}</td>'
        if many
        else ""
    )
    first = f'<td>{split.word}</td><td class="n" data-name="photos">{figures.n:,}</td>'
    return f'<tr>{first}{cells}{top}<td class="n" data-name="ECE">{figures.ece:.3f}</td></tr>'
