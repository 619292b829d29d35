"""The Kubernetes operations of a deploy, for one InferenceService in KServe's Standard mode."""

import contextlib
import http.client
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import portforward
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from shortlist.serving.deploy.errors import ClusterError

Component = Literal["transformer", "predictor"]

RELEASE = "shortlist/release"
"""Annotation of both components: `releases/<name>`, below the root that is set in the manifests."""
BESIDE = "shortlist/beside"
"""Annotation of the predictor: the second release that it serves."""

_KIND = ("serving.kserve.io", "v1beta1")
_PORT = 8080
_ASK_SECONDS = 30.0
_TRIES = 10
_ENDED = ("Succeeded", "Failed")


class Cluster:
    """One InferenceService of one namespace; every method raises ClusterError."""

    def __init__(self, namespace: str, service: str, context: str | None = None) -> None:
        self.namespace, self.service = namespace, service
        _log_in(context)
        self._core, self._apps, self._custom = client.CoreV1Api(), client.AppsV1Api(), client.CustomObjectsApi()

    def inference_service(self) -> dict[str, Any]:
        """The current object. Raises ClusterError for an InferenceService that cannot be switched by a deploy."""
        with _explained(f"InferenceService {self.namespace}/{self.service}"):
            found: dict[str, Any] = self._custom.get_namespaced_custom_object(
                *_KIND, self.namespace, "inferenceservices", self.service
            )
        mode = found.get("status", {}).get("deploymentMode", "Standard")
        if mode not in ("Standard", "RawDeployment"):
            raise ClusterError(
                f"InferenceService {self.service} runs in {mode} mode, which has its own canaries: "
                "set the annotations there and let canaryTrafficPercent move the traffic (docs/cluster.md)"
            )
        if "model" in found["spec"]["predictor"]:
            raise ClusterError(
                f"InferenceService {self.service} sets its release by storageUri (the component serving-runtime): "
                "set the other release there and in the transformer's annotation, and apply it (docs/cluster.md)"
            )
        return found

    def annotate(self, component: Component, found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        """Change a component's annotations from `found` to `wanted`, which rolls out its pods.

        Raises ClusterError when the current annotations are not `found`, because another process changed them.
        """
        for _ in range(_TRIES):
            current = self.inference_service()
            present = annotations_of(current, component)
            if {key: present.get(key, "") for key in wanted} != {key: found.get(key, "") for key in wanted}:
                raise ClusterError(
                    f"the {component}'s release was changed in the meantime, to {present.get(RELEASE) or 'none'}"
                )
            patch = {
                # The API server refuses the patch if the object has changed since it was read.
                "metadata": {"resourceVersion": current["metadata"]["resourceVersion"]},
                "spec": {component: {"annotations": dict(wanted)}},
            }
            try:
                with _explained(f"InferenceService {self.namespace}/{self.service}"):
                    self._custom.patch_namespaced_custom_object(
                        *_KIND, self.namespace, "inferenceservices", self.service, patch
                    )
                return
            except ClusterError as error:
                if error.status != http.client.CONFLICT:
                    raise
        raise ClusterError(f"InferenceService {self.service} is changed by others all the time; try again")

    def deployment(self, component: Component) -> Any:
        """KServe's Deployment of a component."""
        with _explained(f"Deployment {self.namespace}/{self.service}-{component}"):
            return self._apps.read_namespaced_deployment(f"{self.service}-{component}", self.namespace)

    def releases_root(self, pod: Any | None = None) -> str | None:
        """The root of releases of this pod, by default of a new transformer pod.

        None if no ConfigMap sets it, or if the ConfigMap does not exist any more.
        """
        spec = (pod or self.deployment("transformer").spec.template).spec
        for source in spec.containers[0].env_from or []:
            if source.config_map_ref is not None and (root := self._config_map(source.config_map_ref.name)):
                return root
        return None

    def _config_map(self, name: str) -> str | None:
        try:
            with _explained(f"ConfigMap {self.namespace}/{name}"):
                found = self._core.read_namespaced_config_map(name, self.namespace)
        except ClusterError as error:
            if error.status == http.client.NOT_FOUND:
                return None
            raise
        return (found.data or {}).get("RELEASES") or None

    def names_same_root(self) -> bool:
        """Whether the Deployment has the InferenceService's ConfigMaps; KServe updates it a moment after an apply."""
        (container,) = self.inference_service()["spec"]["transformer"]["containers"]
        wanted = [source["configMapRef"]["name"] for source in container.get("envFrom", []) if "configMapRef" in source]
        there = self.deployment("transformer").spec.template.spec.containers[0].env_from or []
        return wanted == [source.config_map_ref.name for source in there if source.config_map_ref is not None]

    def pods(self, component: Component) -> list[Any]:
        """The pods of a component that are not being deleted."""
        return [pod for pod in self._pods(component) if pod.metadata.deletion_timestamp is None]

    def ending_pods(self, component: Component) -> list[Any]:
        """The pods of a component that are being deleted; they may respond until they end."""
        return [pod for pod in self._pods(component) if pod.metadata.deletion_timestamp is not None]

    def _pods(self, component: Component) -> list[Any]:
        selector = f"app=isvc.{self.service}-{component}"
        with _explained(f"pods of {self.namespace}"):
            listed: list[Any] = self._core.list_namespaced_pod(self.namespace, label_selector=selector).items
        return [pod for pod in listed if pod.status.phase not in _ENDED]

    def pod(self, name: str) -> Any:
        with _explained(f"pod {self.namespace}/{name}"):
            return self._core.read_namespaced_pod(name, self.namespace)

    def create_pod(self, body: dict[str, Any]) -> str:
        with _explained(f"pod {self.namespace}/{body['metadata'].get('generateName')}"):
            return str(self._core.create_namespaced_pod(self.namespace, body).metadata.name)

    def delete_pod(self, name: str) -> None:
        """Delete a pod; a missing pod is not an error."""
        try:
            with _explained(f"pod {self.namespace}/{name}"):
                self._core.delete_namespaced_pod(name, self.namespace, grace_period_seconds=0)
        except ClusterError as error:
            if error.status != http.client.NOT_FOUND:
                raise

    def template(self, component: Component) -> dict[str, Any]:
        """The pod template of a component's Deployment, as plain JSON."""
        found: dict[str, Any] = self._apps.api_client.sanitize_for_serialization(
            self.deployment(component).spec.template
        )
        return found

    def log_tail(self, pod: Any) -> str:
        """The last log lines of a pod's container, from before the restart if it was restarted."""
        restarted = any(status.restart_count for status in pod.status.container_statuses or [])
        # The pod may have been restarted since it was read: the new container has no lines yet, the one before has.
        for previous in (restarted, not restarted):
            with contextlib.suppress(ApiException):
                log = self._core.read_namespaced_pod_log(
                    pod.metadata.name, self.namespace, tail_lines=8, previous=previous
                )
                if str(log).strip():
                    return str(log).strip()
        return ""

    @contextlib.contextmanager
    def connected_to(self, pod: str) -> Iterator["PodClient"]:
        """A connection to one pod, through the API server, without a Service or an ingress."""
        with _explained(f"port {_PORT} of pod {self.namespace}/{pod}"):
            forward = portforward(
                self._core.connect_get_namespaced_pod_portforward, pod, self.namespace, ports=str(_PORT)
            )
        connection = http.client.HTTPConnection("127.0.0.1", _PORT, timeout=_ASK_SECONDS)
        connection.sock = forward.socket(_PORT)
        connection.sock.settimeout(_ASK_SECONDS)
        connection.auto_open = 0  # never to this machine's own port
        try:
            yield PodClient(connection, pod, self.service)
        finally:
            connection.close()
            forward.close()


class PodClient:
    """A connection to one transformer pod."""

    def __init__(self, connection: http.client.HTTPConnection, pod: str, model: str) -> None:
        self._connection, self._pod = connection, pod
        self._path = f"/v1/models/{model}:predict"

    def __call__(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """The prediction for a query. Raises ClusterError for any other response."""
        body = json.dumps({"instances": [query]})
        try:
            self._connection.request("POST", self._path, body, {"Content-Type": "application/json"})
            answer = self._connection.getresponse()
            content = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterError(f"pod {self._pod} did not respond: {error or type(error).__name__}") from error
        if answer.status != http.client.OK:
            raise ClusterError(f"pod {self._pod} answered {answer.status}: {content.get('error', content)}")
        prediction: dict[str, Any] = content["predictions"][0]
        return prediction


def _log_in(context: str | None) -> None:
    """Load the kubeconfig, or in a pod without one the service account of the pod. Raises ClusterError."""
    try:
        config.load_kube_config(context=context)
        return
    except (config.ConfigException, YAMLError, OSError, TypeError, AttributeError, KeyError, ValueError) as error:
        problem = " ".join(str(error).split())
    if context is None and "KUBECONFIG" not in os.environ:
        with contextlib.suppress(config.ConfigException):
            config.load_incluster_config()
            return
    where = os.environ.get("KUBECONFIG") or "~/.kube/config"
    raise ClusterError(
        f"cannot connect to a cluster: the kubeconfig {where} cannot be used: {problem}; set KUBECONFIG to a valid "
        "one, and list its contexts with `kubectl config get-contexts`"
    )


def annotations_of(inference_service: Mapping[str, Any], component: Component) -> dict[str, str]:
    """The annotations of a component."""
    return dict(inference_service["spec"].get(component, {}).get("annotations") or {})


def is_ready(pod: Any) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in pod.status.conditions or [])


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Convert errors of the client to ClusterError."""
    try:
        yield
    except ApiException as error:
        raise ClusterError(f"{what}: {_message(error)}", error.status) from error
    except (OSError, HTTPError) as error:
        raise ClusterError(f"{what}: the cluster cannot be reached ({error})") from error


def _message(error: ApiException) -> str:
    try:
        message = json.loads(error.body or "")["message"]
    except (ValueError, KeyError, TypeError):
        message = str(error.reason)
    return f"{error.status} {message}"
