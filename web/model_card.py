"""What a bundle says of itself, as its page shows it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token
from markupsafe import Markup

from models.bundle import Bundle
from models.manifest import Variant
from models.reference_answers import ReferenceAnswers, read_reference

_CARD_FILE: Final = "README.md"
_MOST_BYTES: Final = 512 * 1024
_MOST_CLASSES: Final = 40
_NUMBER: Final = re.compile(r"text-align:\s*right")


class VariantRow(NamedTuple):
    """One of a bundle's models."""

    name: str
    variant: Variant
    bytes: int


class ClassRule(NamedTuple):
    """What the precision in force asks of a class: its threshold, and the share that reaches it."""

    label: str
    threshold: float | None
    coverage: float | None
    rows: int


@dataclass(frozen=True)
class ModelCard:
    """A bundle for people.

    Attributes:
        bundle: it.
        default: the variant that is used when none is asked for.
        variants: all of them.
        classes: by the share that needs no review, the least first; empty where no precision rules.
        reference: the model's answers on the photos that it was proved on.
        readme: the card that the bundle brings along, rendered; none if it has none.
    """

    bundle: Bundle
    default: Variant
    variants: tuple[VariantRow, ...]
    classes: tuple[ClassRule, ...]
    reference: ReferenceAnswers
    readme: Markup | None


def card_of(bundle: Bundle) -> ModelCard:
    """Read a bundle's card. Raises BundleError."""
    manifest = bundle.manifest
    return ModelCard(
        bundle,
        manifest.variants[manifest.default_variant],
        tuple(
            VariantRow(name, variant, (bundle.path / variant.file).stat().st_size)
            for name, variant in sorted(manifest.variants.items(), key=lambda one: one[0] != manifest.default_variant)
        ),
        _class_rules(manifest.labels, manifest.variants[manifest.default_variant]),
        read_reference(bundle, manifest.default_variant),
        _readme(bundle),
    )


def _class_rules(labels: Sequence[str], variant: Variant) -> tuple[ClassRule, ...]:
    ruling = variant.ruling
    if ruling is None:
        return ()
    rules = map(ClassRule, labels, ruling.thresholds, ruling.class_coverage, ruling.rows)
    return tuple(sorted(rules, key=lambda rule: (rule.coverage or 0.0, rule.label))[:_MOST_CLASSES])


def _readme(bundle: Bundle) -> Markup | None:
    if _CARD_FILE not in bundle.manifest.files:
        return None
    bundle.check_place(_CARD_FILE)
    if (bundle.path / _CARD_FILE).stat().st_size > _MOST_BYTES:
        return None
    return card_html(bundle.read(_CARD_FILE).decode("utf-8", "replace"))


def card_html(text: str) -> Markup:
    """Markdown as HTML that can hold none of its own: tags are shown as text, and there are no links and no pictures.

    Headings are two levels lower, since a page has its own above them.
    """
    markdown = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    markdown.disable(["link", "autolink", "image", "reference", "html_block", "html_inline"])
    tokens = markdown.parse(text)
    for token in tokens:
        _tame(token)
    return Markup(markdown.renderer.render(tokens, markdown.options, {}))  # noqa: S704 - the renderer escapes all text


def _tame(token: Token) -> None:
    """Turn inline styles, which no page may have, into classes, and lower headings."""
    style = str(token.attrs.pop("style", ""))
    token.attrs = {"class": "n"} if _NUMBER.search(style) else {}
    if token.type.startswith("heading_"):
        token.tag = f"h{min(6, int(token.tag[1]) + 2)}"
