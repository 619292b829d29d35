"""TrainJobs by the Kubernetes API, from inside a step's pod."""

import os
from pathlib import Path
from typing import Any

from kubernetes import client, config

_KIND = {"group": "trainer.kubeflow.org", "version": "v1alpha1", "plural": "trainjobs"}
_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_NO_SUCH_KIND = 404


class TrainJobs:
    """`train_job.Cluster`: as the pod's service account, which needs to create, get and delete trainjobs."""

    def __init__(self) -> None:
        config.load_incluster_config()
        self._namespace = _NAMESPACE.read_text().strip()
        self._jobs = client.CustomObjectsApi()
        pod = client.CoreV1Api().read_namespaced_pod(os.environ["KFP_POD_NAME"], self._namespace)
        self.image = str(next(one.image for one in pod.spec.containers if one.name == "main"))
        # The job goes with the step's pod, also when the run is ended from outside.
        self._owner = {"apiVersion": "v1", "kind": "Pod", "name": pod.metadata.name, "uid": pod.metadata.uid}

    def create(self, job: dict[str, Any]) -> bool:
        """Whether the cluster knows TrainJobs."""
        job = job | {"metadata": job["metadata"] | {"ownerReferences": [self._owner]}}
        try:
            self._jobs.create_namespaced_custom_object(namespace=self._namespace, body=job, **_KIND)
        except client.ApiException as error:
            if error.status == _NO_SUCH_KIND:
                return False
            raise ValueError(f"the TrainJob is refused ({error.status} {error.reason}): {error.body}") from error
        return True

    def conditions(self, name: str) -> list[dict[str, Any]]:
        job = self._jobs.get_namespaced_custom_object(namespace=self._namespace, name=name, **_KIND)
        found: list[dict[str, Any]] = job.get("status", {}).get("conditions", [])
        return found

    def delete(self, name: str) -> None:
        self._jobs.delete_namespaced_custom_object(namespace=self._namespace, name=name, **_KIND)
