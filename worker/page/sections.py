"""Parts of a page that the trainer still writes as text."""

__all__ = ["section"]


def section(title: str, content: str, kind: str = "", anchor: str = "") -> str:
    """A titled part of a page, of HTML; ``long`` may be broken between printed pages."""
    name = f' id="{anchor}"' if anchor else ""
    return f'<section class="{kind}"{name}><h2>{title}</h2>{content}</section>'
