"""Parts of a page that the trainer still writes as text."""

from models.text import number_of

__all__ = ["more", "section"]


def section(title: str, content: str, kind: str = "", anchor: str = "") -> str:
    """A titled part of a page, of HTML; ``long`` may be broken between printed pages."""
    name = f' id="{anchor}"' if anchor else ""
    return f'<section class="{kind}"{name}><h2>{title}</h2>{content}</section>'


def more(count: int, one: str, many: str, where: str = "check.csv") -> str:
    """What a page leaves out, and where it is; nothing where it leaves nothing out."""
    if count <= 0:
        return ""
    return f'<p class="more faint">and {number_of(count, f"more {one}", f"more {many}")}: see <code>{where}</code></p>'
