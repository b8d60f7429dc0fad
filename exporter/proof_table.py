"""The proof of an export as tables."""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from rich.markup import escape
from rich.table import Table

from exporter.drop import Drop
from exporter.parity import Parity
from exporter.proof import Proof
from exporter.variant import MadeVariant, file_of
from models.terminal import Console

__all__ = ["print_proof"]

_SHOWN: Final = 8


def print_proof(proof: Proof, labels: Sequence[str], console: Console) -> None:
    """Print what was compared, with ✓ and ✗.

    Args:
        proof: of an export, published or not.
        labels: class names.
        console: where to.
    """
    console.print(_keras(proof))
    _print_flips(proof.many, labels, console)
    lighter = [variant for variant in proof.variants if variant.cost is not None]
    if lighter:
        console.print(_lighter(lighter))
    edges = [variant for variant in proof.variants if variant.edge_parity is not None]
    if edges:
        console.print(_edges(edges))
        _print_edge_flips(edges, console)
    for refusal in proof.refusals:
        console.print(f"[yellow]{refusal.name} is left out:[/yellow] {escape(refusal.reason)}.", highlight=False)


def _keras(proof: Proof) -> Table:
    headings = ("photos", "largest difference", "mean", "decisions changed", "near-ties")
    table = _table("ONNX Runtime against Keras", *headings)
    for name, parity in (("batches", proof.many), ("one by one", proof.one)):
        figures = (f"{parity.largest:.1e}", f"{parity.mean:.1e}", str(len(parity.flips)), str(len(parity.near_ties)))
        table.add_row(
            f"probabilities\n{name}", f"{parity.photos:,}", *figures, _mark(passed=parity.probabilities_passed)
        )
        if parity.unknown:
            unknown = parity.unknown
            sides = (str(len(unknown.crossed)), str(len(unknown.near_limit)))
            largest = f"{unknown.largest:.1e} of size"
            row = (f"unknown score\n{name}", f"{parity.photos:,}", largest, "", *sides)
            table.add_row(*row, _mark(passed=unknown.passed))
    table.caption = f"Of these photos {proof.golden} are golden samples: the bundle carries them."
    table.caption_justify = "left"
    return table


def _print_flips(parity: Parity, labels: Sequence[str], console: Console) -> None:
    counts = Counter(f"{labels[expected]} → {labels[got]}" for expected, got in parity.changed)
    for change, count in counts.most_common():
        console.print(f"  {escape(change)}: {count}", highlight=False)


def _lighter(variants: Sequence[MadeVariant]) -> Table:
    table = _table(
        "Lighter models against float32",
        "accuracy",
        "points lost",
        "95%",
        "same labels",
        "times as fast (with decoding)",
    )
    for variant in variants:
        if variant.cost is not None and variant.gain is not None:
            cost, (low, high) = variant.cost, variant.cost.points_95
            figures = (
                f"{cost.accuracy:.3f}",
                f"{cost.points:.2f}",
                f"{low:.2f} to {high:.2f}",
                f"{cost.agreement:.1%}",
            )
            whole = "" if variant.whole_gain is None else f" ({variant.whole_gain:.2f})"
            table.add_row(variant.name, *figures, f"{variant.gain:.2f}{whole}", _mark(passed=True))
    table.caption = "Times as fast: the network alone, and with decoding from a photo's file; on one thread."
    table.caption_justify = "left"
    return table


def _edges(variants: Sequence[MadeVariant]) -> Table:
    """Edge graphs resize photos that are decoded in full; what differs from ``dct`` differs there."""
    decode = variants[0].metadata.preprocess.decode
    headings = ("photos", "labels as full", f"as {decode}", f"sure, as {decode}", "correct", f"points lost to {decode}")
    table = _table("Edge graphs against models whose photos Hangtag decodes: full, or as the manifest says", *headings)
    table.caption = "Sure: photos that need no review. A loss is refused where it is more than --max-drop and chance."
    table.caption_justify = "left"
    for variant in variants:
        edge = variant.edge_parity
        if edge is not None:
            sure = f"{edge.sure_agreement:.1%}" if edge.sure else "–"
            shares = (f"{edge.agreement:.1%}", f"{edge.own_agreement:.1%}", sure)
            figures = (f"{edge.photos:,}", *shares, *_cost(edge.cost))
            table.add_row(file_of("edge", variant.name), *figures, _mark(passed=edge.passed))
    return table


def _cost(cost: Drop | None) -> tuple[str, str]:
    if cost is None:
        return "–", "–"
    low, high = cost.points_95
    return f"{cost.accuracy:.3f}", f"{cost.points:.1f} ({low:.1f} to {high:.1f})"


def _print_edge_flips(variants: Sequence[MadeVariant], console: Console) -> None:
    for variant in variants:
        edge = variant.edge_parity
        flips = [] if edge is None else [*edge.flips, *(flip for flip in edge.own_flips if flip not in edge.flips)]
        if flips:
            decode = variant.metadata.preprocess.decode
            console.print(
                f"Labels of {file_of('edge', variant.name)} that differ from full or {decode}:", highlight=False
            )
        for flip in flips[:_SHOWN]:
            change = escape(f"{flip.expected} → {flip.got}")
            where = f"  export/originals, photo {flip.index}"
            console.print(f"{where}: {change} (margin {flip.margin:.2f})", highlight=False)
        if len(flips) > _SHOWN:
            console.print(f"  and {len(flips) - _SHOWN} more", highlight=False)


def _table(title: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    for heading in ("", *headings, ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=not heading)
    return table


def _mark(*, passed: bool) -> str:
    return "[green]✓[/green]" if passed else "[red]✗[/red]"
