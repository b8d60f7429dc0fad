"""What every job of a watched folder needs, whatever its file holds."""

from pathlib import Path

from models.errors import InputError
from models.reference import resolve_model
from worker.photos.address import check_allow_hosts
from worker.pin import verified_pin
from worker.queue.submit import SubmitRequest
from worker.sources.address import checked_root, is_url
from worker.sources.encoding import check_encoding

__all__ = ["check_conditions"]


def check_conditions(each: SubmitRequest) -> None:
    """Refuse what no file could be blamed for.

    Raises:
        InputError: an option cannot be used, or the image root is not there.
        BundleError: the model is damaged or disagrees with itself on this machine.
        RegistryError: the registry has no such model, version or alias.
    """
    check_allow_hosts(each.options.allow_hosts or ())
    if each.encoding is not None:
        check_encoding(each.encoding)
    if each.image_root is not None:
        _check_root(str(each.image_root))
    verified_pin(resolve_model(each.model, each.registry).path, each.variant, each.options)


def _check_root(root: str) -> None:
    if is_url(root):
        checked_root(root)
    elif not Path(root).is_dir():
        msg = f"Expected a folder or a URL as --image-root, found no folder at {root}."
        raise InputError(msg)
