"""What each precision costs: how much is labelled by itself, and how much a person must look at."""

from typing import Final

from models.statistics.confidence import PrecisionTarget
from models.text import number_of
from pages.text import isolated, visible
from trainer.data.dataset import Split
from trainer.judging.evaluate import Realised
from trainer.report.material import ReportMaterial, found_on, promise, realised, ruling
from trainer.report.page.data import LONGEST_LABEL
from trainer.report.page.table import table
from trainer.report.rates import between, percent, rounded, target_name
from worker.page.sections import more, section

__all__ = ["thresholds_section"]

_MOST: Final = 30
_DEEPEST: Final = 0.55
"""So that what is written on it can be read."""


def thresholds_section(material: ReportMaterial) -> str:
    """Every precision that can be asked for, and each class at each of them."""
    targets = material.confidence.targets
    if not targets:
        return ""
    rows = "".join(_row(material, target) for target in targets)
    tested = "<th>labelled by itself on test</th>" if Split.TEST in material.judged else ""
    head = f'<th>precision</th><th class="line"></th><th class="n">by itself</th><th class="n">to a person</th>{tested}'
    said = f"<p>{visible(promise(material))} {_found_on(material)}</p>"
    title = 'Precision and coverage <span class="faint">· how much would you like to look at yourself?</span>'
    if not any(target.coverage for target in targets):
        return section(title, f"<p>{visible(promise(material))} {_advice(material)}</p>", "", "thresholds")
    return section(title, said + _KEY + table("targets", head, rows) + _by_class(material), "long", "thresholds")


_KEY: Final = (
    '<p class="key"><span><i class="labeled"></i>labelled by itself</span>'
    '<span><i class="review"></i>sent to a person</span></p>'
)


def _advice(material: ReportMaterial) -> str:
    """What may bring a promise."""
    also = "" if material.confidence.out_of_fold else ", or train with <code>--folds 2</code>, which proves it on more"
    return f'<span class="faint">For a promise, label more photos{also}.</span>'


def _found_on(material: ReportMaterial) -> str:
    honest = ", as far as these are as honest about themselves as it is" if material.confidence.out_of_fold else ""
    return (
        f'<span class="faint">The thresholds were found on {found_on(material)}, so that a target that has any holds '
        f"with 95% confidence{honest}. Ask for another with <code>--precision</code>.</span>"
    )


def _row(material: ReportMaterial, target: PrecisionTarget) -> str:
    rules = target is ruling(material)
    badge = ' <span class="rules">default</span>' if rules else ""
    stack = "".join(
        f'<span class="{kind}" style="flex-grow: {part:.4f}"></span>'
        for kind, part in (("labeled", target.coverage), ("review", 1 - target.coverage))
        if part > 0
    )
    found = realised(material, target, Split.TEST)
    tested = f"<td>{_tested(target, found)}</td>" if Split.TEST in material.judged else ""
    shares = (("by itself", target.coverage), ("to a person", 1 - target.coverage))
    cells = "".join(f'<td class="n" data-name="{name}">{rounded(part)}</td>' for name, part in shares)
    return (
        f'<tr class="{"ruling" if rules else ""}"><td><b>{target_name(target.precision)}</b>{badge}</td>'
        f'<td class="line"><div class="stack">{stack}</div></td>{cells}{tested}</tr>'
    )


def _tested(target: PrecisionTarget, found: Realised | None) -> str:
    if found is None:
        return '<span class="faint">not measured</span>'
    if not found.automatic or found.precision is None:
        return '<span class="faint">none</span>'
    missed = found.precision_95 is not None and found.precision_95[1] < target.precision
    kind = ' class="missed"' if missed else ""
    wrong = f"{found.wrong:,} wrong" if found.wrong else "none wrong"
    return (
        f"<b{kind}>{percent(found.precision)} right</b> "
        f'<span class="faint">{between(found.precision_95)}; {found.automatic:,} photos, {wrong}</span>'
    )


def _by_class(material: ReportMaterial) -> str:
    """How much of what is said to be of a class is labelled by itself: the least first."""
    targets, classes = material.confidence.targets, material.args.classes
    ranked = ruling(material) or targets[0]

    def rank(place: int) -> tuple[bool, float]:
        coverage = ranked.class_coverage[place]
        return coverage is None, coverage or 0.0

    order = sorted(range(len(classes)), key=rank)
    rows = "".join(
        f"<tr><td>{isolated(classes[place], LONGEST_LABEL)}</td>{''.join(_cell(one, place) for one in targets)}</tr>"
        for place in order[:_MOST]
    )
    heads = "".join(
        f'<th class="n{" ruling" if one is ruling(material) else ""}">{target_name(one.precision)}</th>'
        for one in targets
    )
    note = (
        "Of the photos that are likeliest of a class, the share that is labelled by itself, and the confidence it "
        "takes. The least first."
    )
    rest = more(len(classes) - _MOST, "class", "classes", "confidence.json")
    shown = table("heat", f"<th>class</th>{heads}", rows)
    return f'<h3>By class</h3><p class="faint">{note}</p>{shown}{rest}'


def _cell(target: PrecisionTarget, place: int) -> str:
    coverage, threshold = target.class_coverage[place], target.thresholds[place]
    shown = "–" if coverage is None else rounded(coverage)
    took = "never" if threshold is None else f"from {threshold:.2f}"
    said = f"found on {number_of(target.rows[place], 'photo', 'photos')}"
    return (
        f'<td class="n" style="--depth: {_DEEPEST * (coverage or 0.0):.0%}" title="{said}"><b>{shown}</b>'
        f"<small>{took}</small></td>"
    )
