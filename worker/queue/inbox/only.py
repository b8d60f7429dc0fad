"""Which files of a watched folder become jobs."""

from enum import StrEnum

__all__ = ["Only"]


class Only(StrEnum):
    """One kind of files, where not both are wanted."""

    CATALOGUES = "catalogues"
    PHOTOS = "photos"
