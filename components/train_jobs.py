"""Creates and watches TrainJobs with the Kubernetes API, from inside the pod of a step."""

import os
from pathlib import Path
from typing import Any

from kubernetes import client, config
from urllib3.exceptions import HTTPError

from shortlist.progress import say

_KIND = {"group": "trainer.kubeflow.org", "version": "v1alpha1", "plural": "trainjobs"}
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NOT_FOUND = 404
_SERVER_ERROR = 500


class TrainJobs:
    """`train_job.Cluster` with the pod's service account, which needs to create, get and delete trainjobs."""

    def __init__(self) -> None:
        config.load_incluster_config()
        self._namespace = _NAMESPACE.read_text().strip()
        self._jobs = client.CustomObjectsApi()
        pod = client.CoreV1Api().read_namespaced_pod(os.environ["KFP_POD_NAME"], self._namespace)
        self.image = str(next(one.image for one in pod.spec.containers if one.name == "main"))
        # The job is deleted with the pod of the step, also when the run is cancelled.
        self._owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}

    def create(self, job: dict[str, Any]) -> bool:
        """Create a job; returns whether the cluster supports TrainJobs."""
        job = job | {"metadata": job["metadata"] | {"ownerReferences": [self._owner]}}
        try:
            self._jobs.create_namespaced_custom_object(namespace=self._namespace, body=job, **_KIND)
        except client.ApiException as error:
            if error.status == _NOT_FOUND:
                return False
            raise ValueError(f"the TrainJob was refused ({error.status} {error.reason}): {error.body}") from error
        return True

    def conditions(self, name: str) -> list[dict[str, Any]]:
        """The current conditions of the job; empty while the API is unavailable, as for minutes during an upgrade.

        Raises ValueError when the job was deleted.
        """
        try:
            job = self._jobs.get_namespaced_custom_object(namespace=self._namespace, name=name, **_KIND)
        except client.ApiException as error:
            if error.status == _NOT_FOUND:
                raise ValueError(f"TrainJob {name} was deleted while it was running") from error
            if error.status < _SERVER_ERROR:
                raise
            say(f"warning: cannot read TrainJob {name} from Kubernetes: {error.status} {error.reason}")
            return []
        except HTTPError as error:
            say(f"warning: Kubernetes does not respond: {error}")
            return []
        found: list[dict[str, Any]] = job.get("status", {}).get("conditions", [])
        return found

    def delete(self, name: str) -> None:
        """Delete a job; a missing job is not an error."""
        try:
            self._jobs.delete_namespaced_custom_object(namespace=self._namespace, name=name, **_KIND)
        except client.ApiException as error:
            if error.status != _NOT_FOUND:
                raise
