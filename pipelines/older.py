"""The pipeline for back ends that do not know all of today's IR.

Kubeflow Pipelines 2.14 was the first to tell an exit handler how the steps ended; before, the handler is refused (or,
without that, hides a failed step: the run ends well when the handler does). So an older back end gets the same steps
without their handler. Its driver also refuses unknown fields in what kfp-kubernetes writes: newer spellings go, since
the old ones stand beside them, and what has no old spelling is left out and told.
"""

import copy
from typing import Any

HANDLER = (2, 14, 0)
"""The first version that runs the exit handler as it is meant."""
_TOLERATIONS_AND_TIMEOUTS = (2, 1, 0)

_Document = dict[str, Any]


def without_handler(pipeline: _Document) -> _Document:
    """The pipeline's IR with the exit handler's steps at the top; components, executors and tasks stay as they are."""
    pipeline = copy.deepcopy(pipeline)
    tasks = pipeline["root"]["dag"]["tasks"]
    (handler,) = (name for name, task in tasks.items() if "triggerPolicy" in task)
    (group,) = (name for name in tasks if name != handler)
    inner = pipeline["components"].pop(tasks[group]["componentRef"]["name"])
    outer = {name: given["componentInputParameter"] for name, given in tasks[group]["inputs"]["parameters"].items()}
    for task in inner["dag"]["tasks"].values():
        for given in task["inputs"]["parameters"].values():
            if "componentInputParameter" in given:
                given["componentInputParameter"] = outer[given["componentInputParameter"]]
    concluding = pipeline["components"].pop(tasks[handler]["componentRef"]["name"])
    pipeline["deploymentSpec"]["executors"].pop(concluding["executorLabel"])
    pipeline["root"]["dag"] = inner["dag"]
    return pipeline


def old_spelling(platform: _Document, version: tuple[int, ...]) -> tuple[_Document, list[str]]:
    """The platform document as the back end can read it, and what had to be left out."""
    platform = copy.deepcopy(platform)
    left_out = set()
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    executors.pop("exec-conclude", None)
    for given in executors.values():
        for secret in given.get("secretAsEnv", []):
            secret.pop("optional", None)
            secret.pop("secretNameParameter", None)
        for mount in given.get("pvcMount", []):
            mount.pop("pvcNameParameter", None)
        if version < _TOLERATIONS_AND_TIMEOUTS:
            left_out |= {name for name in ("tolerations", "activeDeadlineSeconds") if given.pop(name, None)}
    names = {"tolerations": "tolerations", "activeDeadlineSeconds": "timeout"}
    return platform, sorted(names[name] for name in left_out)
