"""An S3 endpoint for tests: moto's server, or a real one named by SHORTLIST_TEST_S3 (http://user:password@host:port)."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import boto3
from moto.server import ThreadedMotoServer

REAL = os.environ.get("SHORTLIST_TEST_S3", "")


@dataclass(frozen=True)
class Endpoint:
    url: str
    user: str = "test"
    password: str = "test"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": self.user,
            "AWS_SECRET_ACCESS_KEY": self.password,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def new_bucket(self) -> str:
        name = f"test-{uuid.uuid4().hex[:12]}"
        boto3.client(
            "s3",
            endpoint_url=self.url,
            aws_access_key_id=self.user,
            aws_secret_access_key=self.password,
            region_name="us-east-1",
        ).create_bucket(Bucket=name)
        return name


@contextmanager
def moto_endpoint() -> Iterator[Endpoint]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield Endpoint(f"http://{host}:{port}")
    finally:
        server.stop()


def real_endpoint() -> Endpoint:
    parts = urlsplit(REAL)
    return Endpoint(f"{parts.scheme}://{parts.hostname}:{parts.port}", parts.username or "", parts.password or "")
