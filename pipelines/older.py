"""The pipeline for back ends that do not support all of the current IR.

Kubeflow Pipelines 2.14 was the first version that passes the final status to an exit handler. Older versions refuse the
handler; without the status it would hide failed steps, since the run succeeds if the handler does. Older back ends
therefore get the same steps without the handler. Their drivers also refuse unknown fields of kfp-kubernetes: newer
fields are removed if an older equivalent is present; settings without an equivalent are left out and reported.
"""

import copy
from typing import Any

HANDLER = (2, 14, 0)
"""The first version that supports the exit handler."""
_TOLERATIONS_AND_TIMEOUTS = (2, 1, 0)

_Document = dict[str, Any]


def without_handler(pipeline: _Document) -> _Document:
    """The IR with the steps of the exit handler at the top level; components, executors and tasks are unchanged."""
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
    """The platform document in the syntax of an older back end, and the settings that were left out."""
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
