"""A Kubeflow Pipelines back end: its address, version, logs and errors."""

import json
import re
import urllib.error
import urllib.request
import warnings
from dataclasses import dataclass
from typing import Any

import kfp
from kfp_server_api.exceptions import ApiException

from shortlist.pipelines.errors import BackEndError

_TIMEOUT_SECONDS = 20


@dataclass(frozen=True)
class BackEnd:
    """A back end that responds."""

    host: str
    client: Any
    """kfp.Client"""
    version: tuple[int, ...] | None
    """The version, like (2, 14, 0); None if it is unknown, as for builds outside a release."""
    token: str | None = None

    def log(self, run: str, node: str, part: str) -> list[str]:
        """The log of a pod of a step, `impl` or `driver`, also of a deleted pod; empty if there is no such pod.

        In older back ends, the name of the pod is Argo's node name with the template name inserted; newer back ends
        find the pod by the node name.
        """
        workflow, _, number = node.rpartition("-")
        for pod in (f"{workflow}-system-container-{part}-{number}", node):
            try:
                text = _get(f"{self.host}/apis/v1alpha1/runs/{run}/nodes/{pod}/log", self.token)
            except (BackEndError, OSError):
                continue
            if text and not text.startswith('{"error_message"'):
                return text.splitlines()
        return []

    def run_page(self, run: str) -> str:
        """The URL of the page of a run."""
        return f"{self.host}/#/runs/details/{run}"


def connect(host: str, namespace: str, token: str | None = None) -> BackEnd:
    """Connect to a back end and check its health. Raises BackEndError."""
    host = host.rstrip("/")
    if not re.match(r"https?://[^/]+", host):
        raise BackEndError(f"{host!r} is not an address of Kubeflow Pipelines; write it like http://127.0.0.1:8888")
    try:
        health = json.loads(_get(f"{host}/apis/v2beta1/healthz", token))
    except OSError as error:
        raise BackEndError(
            f"{host}: Kubeflow Pipelines does not respond ({_reason(error)}); is this the address of its API? With a "
            "kubeconfig: kubectl -n kubeflow port-forward svc/ml-pipeline 8888, then --host http://127.0.0.1:8888"
        ) from error
    except ValueError as error:
        raise BackEndError(f"{host}: the response is not from a Kubeflow Pipelines API 2 ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = kfp.Client(host=host, namespace=namespace, existing_token=token)
    return BackEnd(host, client, _version(health.get("tag_name", "")), token)


def refusal(error: ApiException, host: str) -> BackEndError:
    """A BackEndError for an error of the API."""
    if error.status in (401, 403):
        return _not_allowed(host, error.status)
    try:
        body = json.loads(error.body or "{}")
    except ValueError:
        body = {}
    return BackEndError(f"{host} refuses: {body.get('error') or body.get('message') or error.reason or error}")


def _get(url: str, token: str | None) -> str:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
            body: bytes = answer.read()
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            raise _not_allowed(url, error.code) from error
        raise
    return body.decode(errors="replace")


def _not_allowed(where: str, status: int) -> BackEndError:
    return BackEndError(
        f"{where}: access is refused ({status}); set KFP_TOKEN to a token that it accepts, like the output of "
        "kubectl -n NAMESPACE create token SERVICE_ACCOUNT --audience pipelines.kubeflow.org, and check --namespace"
    )


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", error))


def _version(tag: str) -> tuple[int, ...] | None:
    found = re.match(r"v?(\d+)\.(\d+)\.(\d+)", tag)
    return tuple(int(part) for part in found.groups()) if found else None
