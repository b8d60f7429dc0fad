"""The bundle's ``README.md``: what the model is, what it was proved to be, and how to use it anywhere."""

from pathlib import Path
from typing import Final

from exporter.markdown import render_markdown
from exporter.proof import Proof
from models.benchmark.record import BenchmarkRecord
from models.decision import precision_text
from models.manifest import Manifest

__all__ = ["OPERATORS_FILE", "bundle_card"]

OPERATORS_FILE: Final = "required_operators.config"
_TEMPLATE: Final = Path(__file__).with_name("bundle_card.md")


def bundle_card(manifest: Manifest, record: BenchmarkRecord, proof: Proof) -> str:
    """Write the card of a bundle, from the speed of its files and how far they agree with Keras."""
    mobile = [name for variant in manifest.variants.values() for name in (variant.ort, variant.edge_ort) if name]
    return render_markdown(
        _TEMPLATE,
        manifest=manifest,
        record=record,
        proof=proof,
        ort_files=mobile,
        operators_file=OPERATORS_FILE,
        precision_text=precision_text,
    )
