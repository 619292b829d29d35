"""A prefix of an S3 bucket as storage, for any S3-compatible service."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import botocore.loaders
import botocore.session
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError, PartialCredentialsError
from botocore.exceptions import ConnectionError as UnreachableError

from shortlist.storage.base import (
    ChangedError,
    Entry,
    MissingError,
    Storage,
    StorageError,
    Stored,
    check_key,
    from_os_error,
    is_key,
)

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

_CONFIG = Config(
    connect_timeout=5,
    read_timeout=30,
    retries={"mode": "standard", "total_max_attempts": 3},
    max_pool_connections=32,
)
_TRANSFER = TransferConfig(max_concurrency=4)
_MISSING = {"NoSuchKey", "404"}
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_DENIED = {"AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "403", "401"}
_FULL = {"XMinioStorageFull", "InsufficientStorage", "507"}


class Bucket(Storage):
    """Keys are objects below `prefix`; boto3 finds endpoint, region and credentials in its usual places.

    In S3, an object becomes visible only when it is complete. `replace` is a conditional put (`If-None-Match: *`,
    `If-Match`); the version is the ETag.
    """

    def __init__(self, bucket: str, prefix: str) -> None:
        self.url = f"s3://{bucket}/{prefix}".rstrip("/")
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        core = botocore.session.get_session()
        core.register_component("data_loader", _descriptions())
        self._client = boto3.session.Session(botocore_session=core).client("s3", config=_CONFIG)

    def read(self, key: str) -> Stored:
        with self._explained(key):
            found = self._client.get_object(Bucket=self._bucket, Key=self._name(key))
            return Stored(found["Body"].read(), found["ETag"])

    def stamp(self, key: str) -> str:
        with self._explained(key):
            return self._client.head_object(Bucket=self._bucket, Key=self._name(key))["ETag"]

    def write(self, key: str, data: bytes) -> None:
        with self._explained(key):
            self._client.put_object(Bucket=self._bucket, Key=self._name(key), Body=data)

    def replace(self, key: str, data: bytes, version: str | None) -> None:
        try:
            with self._explained(key):
                name = self._name(key)
                if version is None:
                    self._client.put_object(Bucket=self._bucket, Key=name, Body=data, IfNoneMatch="*")
                else:
                    self._client.put_object(Bucket=self._bucket, Key=name, Body=data, IfMatch=version)
        except (ChangedError, MissingError):
            # The client repeats a put whose response was lost; if the first put succeeded, the key has our own bytes.
            if not self._holds(key, data):
                raise ChangedError(f"{self.url}/{key}: was changed by another process in the meantime") from None

    def list(self, prefix: str = "") -> list[Entry]:
        start = self._prefix + (f"{check_key(prefix)}/" if prefix else "")
        entries = []
        with self._explained(prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=start):
                for found in page.get("Contents", []):
                    key = found["Key"].removeprefix(self._prefix)
                    if is_key(key):
                        entries.append(Entry(key, found["Size"], found["LastModified"].timestamp()))
        return sorted(entries, key=lambda entry: entry.key)

    def delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), 1000):  # the maximum of one request
            names: list[ObjectIdentifierTypeDef] = [{"Key": self._name(key)} for key in keys[start : start + 1000]]
            with self._explained(keys[start]):
                answer = self._client.delete_objects(Bucket=self._bucket, Delete={"Objects": names, "Quiet": True})
            for failed in answer.get("Errors", []):
                raise StorageError(f"s3://{self._bucket}/{failed.get('Key')}: not deleted: {failed.get('Code')}")

    def put_file(self, path: Path, key: str) -> None:
        with self._explained(key):
            self._client.upload_file(str(path), self._bucket, self._name(key), Config=_TRANSFER)

    def get_file(self, key: str, path: Path) -> None:
        with self._explained(key):
            self._client.download_file(self._bucket, self._name(key), str(path), Config=_TRANSFER)

    def sweep(self, before: float) -> None:
        with self._explained(""):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            for found in (upload for page in pages for upload in page.get("Uploads", [])):
                if found["Initiated"].timestamp() < before:
                    self._client.abort_multipart_upload(
                        Bucket=self._bucket, Key=found["Key"], UploadId=found["UploadId"]
                    )

    def _name(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.read(key).data == data
        except MissingError:
            return False

    @contextmanager
    def _explained(self, key: str) -> Iterator[None]:
        """Turn boto3's errors into ours."""
        try:
            yield
        except Boto3Error as error:  # an upload wraps the error with the reason
            cause = error.__cause__ or error.__context__
            raise self._explain(cause if isinstance(cause, ClientError) else error, key) from error
        except (ClientError, BotoCoreError) as error:
            raise self._explain(error, key) from error
        except OSError as error:
            raise from_os_error(error, error.filename or f"{self.url}/{key}") from error

    def _explain(self, error: Exception, key: str) -> StorageError:
        place = f"{self.url}/{key}".rstrip("/")
        endpoint = self._client.meta.endpoint_url
        if isinstance(error, ClientError):
            return self._explain_answer(error, place)
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return StorageError(
                f"{place}: no credentials ({error}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
            )
        if isinstance(error, HTTPClientError | UnreachableError):
            return StorageError(
                f"{place}: {endpoint} cannot be reached ({error}); check the network and AWS_ENDPOINT_URL"
            )
        return StorageError(f"{place}: {error}")

    def _explain_answer(self, error: ClientError, place: str) -> StorageError:
        details = error.response.get("Error", {})
        code = details.get("Code", "")
        given = {code, str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))}
        if code == "NoSuchBucket":
            endpoint = self._client.meta.endpoint_url
            return StorageError(f"{place}: {endpoint} has no bucket {self._bucket!r}; create it, or fix the address")
        if given & _MISSING:
            return MissingError(f"{place}: there is nothing here")
        if given & _CHANGED:
            return ChangedError(f"{place}: was changed by another process in the meantime")
        if given & _DENIED:
            return StorageError(
                f"{place}: access denied ({code}); check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
                "their permissions on the bucket"
            )
        if given & _FULL:
            return StorageError(f"{place}: no space left in the storage; free some and run again")
        return StorageError(f"{place}: {code}: {details.get('Message', error)}")


@cache
def _descriptions() -> botocore.loaders.Loader:
    """boto3's description of the S3 API, read once per process, since parsing it takes 0.2 s."""
    return botocore.loaders.create_loader()
