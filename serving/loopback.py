"""Requests to this machine that never use a proxy."""

import http.client
import os
from collections.abc import MutableMapping

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def bypass_proxies(environment: MutableMapping[str, str] = os.environ) -> None:
    """Add the loopback addresses to `no_proxy`, for all clients in this process and its child processes.

    requests, urllib, httpx, botocore and the Kubernetes client all read these variables; a proxy would look for the
    port on its own machine. Nothing is set if no proxy is configured.
    """
    if not any(environment.get(name) or environment.get(name.upper()) for name in _PROXIES):
        return
    given = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    hosts = [host.strip() for host in given.split(",") if host.strip()]
    if "*" in hosts:
        return
    every = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))
    # Some clients read the lower-case variable, others the upper-case one.
    environment["no_proxy"] = environment["NO_PROXY"] = every


def get(port: int, path: str) -> tuple[int, bytes]:
    """GET from a service on this machine, without a proxy; returns status and body.

    Raises OSError and HTTPException when it does not answer within two seconds.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
