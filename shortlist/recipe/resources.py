"""What the steps of the pipeline may use, and what a cluster gives them."""

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
    """A taint of nodes that the steps do not mind."""

    key: str | None = None
    """The taint's key; without one, every taint (then the operator is `Exists`)."""
    operator: Literal["Equal", "Exists"] = "Equal"
    """Whether the taint's value matters."""
    value: str | None = None
    """The taint's value, for `Equal`."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Of the taint; without one, any."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.operator == "Exists" and self.value is not None:
            raise ValueError("operator 'Exists' takes no value; remove it, or use 'Equal'")
        if self.operator == "Equal" and self.key is None:
            raise ValueError("operator 'Equal' needs a key; without one use 'Exists'")
        return self


class Secret(Section):
    """A Kubernetes secret of which some keys become environment variables; its values are nowhere in the recipe."""

    name: ObjectName
    """The secret, in the namespace that the pipeline runs in."""
    env: dict[Variable, str] = Field(min_length=1)
    """Environment variable -> key of the secret, like `AWS_SECRET_ACCESS_KEY: secretkey`."""


class Volume(Section):
    """A persistent volume claim that the steps see as a folder, for data that is in no bucket."""

    claim: ObjectName
    """The claim, in the namespace that the pipeline runs in."""
    path: Annotated[str, AfterValidator(_absolute)]
    """Where it is mounted; sources and `publish.to` may name paths below it."""


class Distributed(Section):
    """Training of the towers on several nodes, by Kubeflow Trainer."""

    nodes: int = Field(ge=2)
    """How many; each has the CPU, the memory and the GPUs that `train_retrieval` has."""
    folder: Annotated[str, AfterValidator(_absolute)]
    """Below one of `volumes`, on a claim that many nodes can write (ReadWriteMany)."""
    runtime: str = "torch-distributed"
    """The ClusterTrainingRuntime."""


class StepResources(Section):
    """What one step gets; what is not given is as for all steps."""

    memory_gb: float | None = Field(None, gt=0)
    """Memory that the step asks for; ingest, validate and prepare keep to it."""
    cpu: float | None = Field(None, gt=0)
    """Cores that are asked for; a step may use more when the node has them."""
    memory_limit_gb: float | None = Field(None, gt=0)
    """A step that holds more is ended."""
    gpus: int | None = Field(None, ge=0)
    """How many."""
    gpu_resource: str | None = None
    """The name under which the nodes offer them, like `nvidia.com/gpu`."""
    node_selector: dict[str, str] | None = None
    """Labels that the step's node must have."""
    tolerations: list[Toleration] | None = None
    """Taints that the step's node may have."""
    env: dict[Variable, str] | None = None
    """Environment variables that are no secrets, like `AWS_ENDPOINT_URL`."""
    secrets: list[Secret] | None = None
    """Environment variables from Kubernetes secrets."""
    volumes: list[Volume] | None = None
    """Folders from persistent volume claims."""
    retries: int | None = Field(None, ge=0, le=20)
    """How often a step that failed is tried again; training goes on with its checkpoints only in the same pod."""
    timeout: Duration | None = None
    """A step that takes longer is ended; written as 2h."""

    @model_validator(mode="after")
    def _no_secret_in_the_open(self) -> Self:
        for name in self.env or {}:
            if _SECRET.search(name):
                raise ValueError(
                    f"env.{name} looks like a secret and would be readable in every run; put it into a Kubernetes "
                    f"secret and name that: secrets: [{{name: my-secret, env: {{{name}: its-key}}}}]"
                )
        if self.timeout == 0:
            raise ValueError("timeout is 0: leave it out for a step that may take as long as it needs")
        return self


class Resources(StepResources):
    """What all steps get, and under `steps` where one differs. On one machine only `memory_gb` matters."""

    memory_gb: float = Field(4.0, gt=0)
    """Bounds what ingest, validate and prepare hold at a time; on a cluster also the memory that a step asks for."""
    cpu: float = Field(0.5, gt=0)
    """Cores that are asked for; a step may use more when the node has them."""
    gpus: int = Field(0, ge=0)
    """How many; better given to `train_retrieval` and `train_ranking` under `steps` than to all."""
    gpu_resource: str = "nvidia.com/gpu"
    """The name under which the nodes offer them."""
    node_selector: dict[str, str] = {}
    """Labels that the nodes must have."""
    tolerations: list[Toleration] = []
    """Taints that the nodes may have."""
    env: dict[Variable, str] = {}
    """Environment variables that are no secrets, like `AWS_ENDPOINT_URL`."""
    secrets: list[Secret] = []
    """Environment variables from Kubernetes secrets, like the keys of a bucket."""
    volumes: list[Volume] = []
    """Folders from persistent volume claims."""
    retries: int = Field(0, ge=0, le=20)
    """How often a step that failed is tried again."""
    steps: dict[Step, StepResources] = {}
    """What differs, by step: a field given there replaces the one for all."""

    distributed: Distributed | None = None
    """Several nodes for `train_retrieval`; without, the GPUs of one pod are used."""

    @model_validator(mode="after")
    def _nodes_share_a_folder(self) -> Self:
        volumes = [volume.path for volume in self.of("train_retrieval").volumes]
        if self.distributed and not any(f"{self.distributed.folder}/".startswith(f"{path}/") for path in volumes):
            raise ValueError(
                f"distributed.folder {self.distributed.folder!r} is below none of the volumes that train_retrieval "
                f"mounts ({', '.join(volumes) or 'none'}); the nodes would not share it"
            )
        return self

    def of(self, step: Step) -> "Resources":
        """What this step gets."""
        own = self.steps.get(step, StepResources())
        given = {name: value for name, value in own if value is not None}
        return self.model_copy(update={**given, "steps": {}})
