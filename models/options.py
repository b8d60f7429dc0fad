"""What commands of several rooms ask in the same words."""

from typing import Annotated, Final

import typer

__all__ = ["DEFAULT_REGISTRY", "RegistryOption"]

DEFAULT_REGISTRY: Final = "registry"

RegistryOption = Annotated[
    str,
    typer.Option(
        envvar="HANGTAG_REGISTRY",
        metavar="DIR",
        help="The registry that names such as shop@champion are looked up in: a folder, or an s3:// URL.",
    ),
]
