"""Raw files in S3-compatible storage; the settings of boto3 (AWS_ENDPOINT_URL, profiles, ...) are respected."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - the base of botocore's own, not the built-in
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)

from shortlist.data.sources.errors import MissingSourceError, SourceError
from shortlist.names import below
from shortlist.progress import Progress

# An unreachable storage should be reported within seconds.
_CONFIG = Config(connect_timeout=5, read_timeout=60, retries={"max_attempts": 3, "mode": "standard"})


class Bucket:
    """Reads one bucket. Methods raise SourceError."""

    def __init__(self, name: str) -> None:
        self.name = name
        with _explained(f"s3://{name}"):
            # A new session, since the default one keeps the credentials that it found first.
            self._client = boto3.session.Session().client("s3", config=_CONFIG)

    def keys(self, prefix: str) -> list[str]:
        """The keys that start with `prefix`, without the empty objects that represent folders."""
        return list(self.tags(prefix))

    def tags(self, prefix: str) -> dict[str, str]:
        """These keys, each with the ETag of its object."""
        with _explained(f"s3://{self.name}/{prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            things = [thing for page in pages for thing in page.get("Contents", [])]
            folders = {parent for thing in things for parent in _parents(thing["Key"])}
            files = [
                thing for thing in things if thing["Key"][-1] != "/" and (thing["Size"] or thing["Key"] not in folders)
            ]
            return {thing["Key"]: thing["ETag"] for thing in files}

    def download(self, key: str, folder: Path) -> Path:
        """Copy one object to a file in the folder, in parts.

        The file is named by a digest, since a key may be `../x`, too long for a file name, or the folder of other keys.
        """
        folder.mkdir(parents=True, exist_ok=True)
        to = below(folder, hashlib.sha256(f"{self.name}/{key}".encode()).hexdigest()[:32])
        with _explained(f"s3://{self.name}/{key}"):
            size = self._client.head_object(Bucket=self.name, Key=key)["ContentLength"]
            progress = Progress(f"download {Path(key).name}", size)
            self._client.download_file(self.name, key, str(to), Callback=progress.advance)
        return to


def _parents(key: str) -> Iterator[str]:
    """`a/b` and `a` of `a/b/c`."""
    while "/" in key:
        key = key.rpartition("/")[0]
        yield key


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "?"))
        if code in ("403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"):
            raise SourceError(
                f"{url}: access denied ({code}); check the AWS credentials and their permissions to list and read"
            ) from None
        if code in ("404", "NoSuchBucket", "NoSuchKey"):
            raise MissingSourceError(f"{url}: there is no such {'bucket' if 'Bucket' in code else 'object'}") from None
        raise SourceError(f"{url}: the storage returned {code}: {error}") from None
    except (NoCredentialsError, PartialCredentialsError):
        raise SourceError(f"{url}: no AWS credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from None
    except (ConnectionError, HTTPClientError) as error:
        raise SourceError(
            f"{url}: the storage cannot be reached: {error}; check AWS_ENDPOINT_URL and the network"
        ) from None
    except BotoCoreError as error:
        raise SourceError(f"{url}: {error}") from None
