"""Whom a photo's URL is taken to."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from models.errors import JobError
from worker.photos.address import Addresses
from worker.photos.fetch import Fetch
from worker.photos.limits import Limits
from worker.photos.names import Lookup
from worker.photos.outcome import Outcome
from worker.photos.over_http import HttpClient
from worker.photos.target import Scheme

if TYPE_CHECKING:
    from worker.photos.over_s3 import S3Client

__all__ = ["Clients", "check_s3"]


def check_s3() -> None:
    """Refuse to ask S3 on a machine that lacks the packages for it.

    Raises:
        JobError: they are missing; it is the machine that wants something, not the row.
    """
    if find_spec("aiobotocore") is None:
        msg = "Expected aiobotocore for photos in S3, it is not installed; pip install 'hangtag[s3]' on this machine."
        raise JobError(msg)


class Clients:
    """A client for web servers, and one for S3 once it is asked for; made within the event loop."""

    def __init__(self, limits: Limits, addresses: Addresses, lookup: Lookup) -> None:
        self._limits = limits
        self._http = HttpClient(limits, addresses, lookup)
        self._s3: S3Client | None = None

    async def ask(self, fetch: Fetch, *, keep: bool) -> Outcome:
        """See :meth:`worker.photos.downloads.Client.ask`."""
        if fetch.target.scheme is Scheme.S3:
            return await self._in_s3().ask(fetch, keep=keep)
        return await self._http.ask(fetch, keep=keep)

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()
        if self._s3:
            await self._s3.close()

    def _in_s3(self) -> "S3Client":
        if self._s3 is None:
            from worker.photos.over_s3 import S3Client

            self._s3 = S3Client(self._limits)
        return self._s3
