"""The resources of the pipeline steps, on one machine and on a cluster."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from shortlist.recipe.fields import Duration, Section

Step = Literal[
    "survey",
    "ingest",
    "validate",
    "prepare",
    "train_retrieval",
    "export",
    "build_index",
    "train_ranking",
    "evaluate",
    "publish",
    "write_lists",
    "report",
    "conclude",
]
"""The steps of the pipeline, by the names of their components."""

_SECRET = re.compile(r"(?i)secret|password|passwd|token|access_key|api_key|credential")


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(f"{value!r} is not a name of an environment variable; use letters, digits and '_'")
    return value


def _object_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise ValueError(f"{value!r} is not a name of a Kubernetes object; use lower-case letters, digits, '-' and '.'")
    return value


def _absolute(value: str) -> str:
    if not value.startswith("/") or value == "/" or ":" in value or ".." in value.split("/"):
        raise ValueError(f"{value!r} is not a folder to mount at; use an absolute path, like /data")
    return value


Variable = Annotated[str, AfterValidator(_variable)]
"""The name of an environment variable."""

ObjectName = Annotated[str, AfterValidator(_object_name)]
"""The name of a Kubernetes object."""


class Toleration(Section):
    """A taint of nodes that the steps tolerate."""

    key: str | None = None
    """The key of the taint; without a key, all taints (the operator must then be `Exists`)."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the value of the taint is compared."""
    value: str | None = None
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """The effect of the taint; without one, all effects."""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator 'Exists' takes no value; remove it, or use 'Equal'")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator 'Equal' needs a key; without one use 'Exists'")
        return self


class Secret(Section):
    """A Kubernetes secret with keys that become environment variables; its values are never part of the recipe."""

    name: ObjectName
    """The secret, in the namespace that the pipeline runs in."""
    env: dict[Variable, str] = Field(min_length=1)
    """Environment variable -> key of the secret, like `AWS_SECRET_ACCESS_KEY: secretkey`."""


class Volume(Section):
    """A persistent volume claim that is mounted as a folder, for data that is not in a bucket."""

    claim: ObjectName
    """The claim, in the namespace that the pipeline runs in."""
    path: Annotated[str, AfterValidator(_absolute)]
    """The mount path; sources and `publish.to` may use paths below it."""


class Distributed(Section):
    """Training of the towers on several nodes, by Kubeflow Trainer."""

    nodes: int = Field(ge=2)
    """The number of nodes; each has the CPU, memory and GPUs of `train_retrieval`."""
    folder: Annotated[str, AfterValidator(_absolute)]
    """A folder below one of `volumes`, on a claim that several nodes can write (ReadWriteMany)."""
    runtime: str = "torch-distributed"
    """The ClusterTrainingRuntime."""


class StepResources(Section):
    """The resources of one step; fields that are not set have the values of all steps."""

    memory_gb: float | None = Field(None, gt=0)
    """The requested memory; ingest, validate and prepare stay within it."""
    cpu: float | None = Field(None, gt=0)
    """The requested CPU cores; a step may use more if the node has them."""
    memory_limit_gb: float | None = Field(None, gt=0)
    """A step that uses more memory is killed."""
    gpus: int | None = Field(None, ge=0)
    """The number of GPUs."""
    gpu_resource: str | None = None
    """The resource name of the GPUs on the nodes, like `nvidia.com/gpu`."""
    node_selector: dict[str, str] | None = None
    """Labels that the step's node must have."""
    tolerations: list[Toleration] | None = None
    """Taints that the step's node may have."""
    env: dict[Variable, str] | None = None
    """Environment variables that are not secret, like `AWS_ENDPOINT_URL`."""
    secrets: list[Secret] | None = None
    """Environment variables from Kubernetes secrets."""
    volumes: list[Volume] | None = None
    """Folders from persistent volume claims."""
    retries: int | None = Field(None, ge=0, le=20)
    """How often a failed step is retried; training resumes from its checkpoints only in the same pod."""
    timeout: Duration | None = None
    """A step that takes longer is killed; written as 2h."""

    @model_validator(mode="after")
    def _has_no_plain_secret(self) -> Self:
        for name in self.env or {}:
            if _SECRET.search(name):
                raise ValueError(
                    f"env.{name} looks like a secret and would be readable in every run; store it in a Kubernetes "
                    f"secret and refer to that: secrets: [{{name: my-secret, env: {{{name}: its-key}}}}]"
                )
        if self.timeout == 0:
            raise ValueError("timeout is 0: remove it for a step without a time limit")
        return self


class Resources(StepResources):
    """The resources of all steps, and under `steps` those of single steps. On one machine, only `memory_gb` is used."""

    memory_gb: float = Field(4.0, gt=0)
    """The memory limit of ingest, validate and prepare; on a cluster also the requested memory of a step."""
    cpu: float = Field(0.5, gt=0)
    """The requested CPU cores; a step may use more if the node has them."""
    gpus: int = Field(0, ge=0)
    """The number of GPUs; better set for `train_retrieval` and `train_ranking` under `steps` than for all."""
    gpu_resource: str = "nvidia.com/gpu"
    """The resource name of the GPUs on the nodes."""
    node_selector: dict[str, str] = {}
    """Labels that the nodes must have."""
    tolerations: list[Toleration] = []
    """Taints that the nodes may have."""
    env: dict[Variable, str] = {}
    """Environment variables that are not secret, like `AWS_ENDPOINT_URL`."""
    secrets: list[Secret] = []
    """Environment variables from Kubernetes secrets, like the keys of a bucket."""
    volumes: list[Volume] = []
    """Folders from persistent volume claims."""
    retries: int = Field(0, ge=0, le=20)
    """How often a failed step is retried."""
    steps: dict[Step, StepResources] = {}
    """Resources by step: a field that is set there replaces the value of all steps."""

    distributed: Distributed | None = None
    """Several nodes for `train_retrieval`; if null, the GPUs of one pod are used."""

    @model_validator(mode="after")
    def _nodes_share_a_folder(self) -> Self:
        volumes = [volume.path for volume in self.of("train_retrieval").volumes]
        if self.distributed and not any(f"{self.distributed.folder}/".startswith(f"{path}/") for path in volumes):
            raise ValueError(
                f"distributed.folder {self.distributed.folder!r} is not below a volume that train_retrieval mounts "
                f"({', '.join(volumes) or 'none'}); the nodes would not share it"
            )
        return self

    def of(self, step: Step) -> "Resources":
        """The resources of this step."""
        own = self.steps.get(step, StepResources())
        given = {name: value for name, value in own if value is not None}
        return self.model_copy(update={**given, "steps": {}})
