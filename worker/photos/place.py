"""Where the photo that a cell names is, in one line of text."""

from typing import Final
from urllib.parse import quote

__all__ = ["url_of"]

_REMOTE: Final = ("http://", "https://", "s3://")


def url_of(cell: str | None, image_root: str) -> str | None:
    """Where a cell's photo is asked for; none where it does not come over a network.

    Args:
        cell: what the catalogue says: a path, a URL or a data URI.
        image_root: where relative paths start: a folder, or an ``s3://`` or ``http(s)://`` URL.
    """
    if not cell or cell[:5].lower() == "data:":
        return None
    if cell.lower().startswith(_REMOTE):
        return cell
    if image_root.lower().startswith(_REMOTE) and "://" not in cell:
        path = cell if image_root.lower().startswith("s3://") else quote(cell)
        return f"{image_root.rstrip('/')}/{path.lstrip('/')}"
    return None
