"""Downloads photos from S3, with one try per call. Credentials and address come from the environment."""

from contextlib import AsyncExitStack
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from aiohttp import ClientError as ConnectionFault
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    EndpointProviderError,
    HTTPClientError,
    IncompleteReadError,
    ParamValidationError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

from catalogue.fetch import FailedTry, Fetch, Outcome, Received, download_error, strong_etag
from catalogue.photo import DownloadLimits
from models.errors import ImageError, ImageFault, JobError
from models.text import one_line

_PIECE: Final = 256 * 1024
_UNCHANGED: Final = "304"
_NO_OBJECT: Final = frozenset({"NoSuchKey", "NoSuchBucket", "404"})
_PASSING: Final = frozenset({"SlowDown", "RequestTimeout", "RequestTimeTooSkewed", "Throttling", "429"})
_BAD_CREDENTIALS: Final = frozenset(
    {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired"}
)
"""S3's error codes for wrong credentials."""
_SERVER_FAULT: Final = 500
_PASSING_FAULTS: Final = (
    NoConnection,
    HTTPClientError,
    IncompleteReadError,
    ResponseStreamingError,
    ConnectionFault,
    OSError,
)
_NONSENSE: Final = (ResponseParserError, ValueError, RuntimeError, OverflowError)
"""Errors of botocore's parsers for a malformed answer, such as a wrong date."""


class S3Client:
    """A client for S3. Connects on first use."""

    def __init__(self, limits: DownloadLimits) -> None:
        self._limits = limits
        self._open = AsyncExitStack()
        self._client: Any = None

    async def ask(self, fetch: Fetch) -> Outcome:
        """See :meth:`catalogue.clients.Clients.ask`. Raises JobError."""
        try:
            return await self._get(fetch)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") in _BAD_CREDENTIALS:
                raise _machine_error(fetch, error) from error
            return _refusal(fetch, error)
        except _PASSING_FAULTS as error:
            return FailedTry(f"cannot be reached ({type(error).__name__})", silent=not fetch.size)
        except _NONSENSE:
            return FailedTry("sent an invalid S3 response")
        except (EndpointProviderError, ParamValidationError) as error:
            if await self._finds_other_buckets():
                msg = f"Expected an S3 bucket in {fetch.url[:300]}, got {error}; check its name."
                raise ImageError(msg, ImageFault.REFUSED) from error
            raise _machine_error(fetch, error) from error
        except BotoCoreError as error:
            raise _machine_error(fetch, error) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._open.aclose()

    async def _get(self, fetch: Fetch) -> Outcome:
        known = {"IfNoneMatch": fetch.etag_to_send} if fetch.etag_to_send else {}
        client = self._client or await self._connected(fetch)
        answer = await client.get_object(Bucket=fetch.target.host, Key=fetch.target.key, **known)
        async with answer["Body"] as body:
            fetch.check(answer.get("ContentLength", 0))
            while chunk := await body.read(_PIECE):
                await fetch.add(chunk)
        return Received(fetch.whole(), strong_etag(answer.get("ETag")))

    async def _finds_other_buckets(self) -> bool:
        """Whether the settings are valid, apart from the bucket name. Sends no request."""
        try:
            await self._client.generate_presigned_url("get_object", Params={"Bucket": "photos", "Key": "photo"})
        except BotoCoreError:
            return False
        return True

    async def _connected(self, fetch: Fetch) -> Any:  # noqa: ANN401 - botocore creates classes at run time
        config = AioConfig(
            connect_timeout=self._limits.connect_s,
            read_timeout=self._limits.idle_s,
            max_pool_connections=self._limits.per_bucket,
            retries={"total_max_attempts": 1},  # the caller tries again
            response_checksum_validation="when_required",  # the checksum might not cover the whole object
        )
        try:
            client = await self._open.enter_async_context(AioSession().create_client("s3", config=config))
        except (BotoCoreError, ValueError) as error:
            raise _machine_error(fetch, error) from error
        self._client = self._client or client
        return self._client


def _machine_error(fetch: Fetch, error: Exception) -> JobError:
    msg = (
        f"Expected to request {fetch.url[:300]} from S3, got {type(error).__name__}: {error}; check the "
        "credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and AWS_ENDPOINT_URL on this machine."
    )
    return JobError(msg)


def _refusal(fetch: Fetch, error: ClientError) -> Outcome:
    details = error.response.get("Error", {})
    code = one_line(str(details.get("Code", "")), 60)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == _UNCHANGED and fetch.etag_to_send:
        return Received(None, fetch.etag_to_send)
    if code in _NO_OBJECT:
        msg = f"Expected a photo at {fetch.url[:300]}, but S3 answered {code}; check bucket and key."
        raise ImageError(msg, ImageFault.MISSING)
    if code in _PASSING or status >= _SERVER_FAULT:
        return FailedTry(f"answered {status} {code}")
    why = one_line(str(details.get("Message", "")), 300).rstrip(".")
    answer = f"S3 answered {code}: {why}; check the permissions of these credentials"
    raise download_error(fetch.url, answer)
