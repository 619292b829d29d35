"""kfp's Docker runner: each step runs in a container of the pipeline image, as on a cluster.

A container has a read-only root file system and its own /tmp. From this machine it has the folder of the run, the files
of the recipe (read-only), the publish folder and that of MLflow, each mounted at its own path, the network, and the
environment variables for access to buckets. It runs as the current user, who owns the outputs.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
from docker.types import Mount
from kfp import local

from shortlist.components.image import PIPELINE_IMAGE
from shortlist.data.sources.locate import folder_holding
from shortlist.recipe import Recipe
from shortlist.release.publish import release_root
from shortlist.storage import open_storage
from shortlist.storage.folder import Folder
from shortlist.tracking.place import place_of

_LABEL = "shortlist.run"
_HANDED_ON = ("AWS_", "HF_", "MLFLOW_", "OMP_NUM_THREADS")


def check_docker() -> None:
    """Raises ValueError when no Docker engine responds, or when it does not have the image."""
    try:
        docker.from_env().images.get(PIPELINE_IMAGE)
    except docker.errors.ImageNotFound:
        raise ValueError(f"the Docker engine has no image {PIPELINE_IMAGE}; build it: make images") from None
    except docker.errors.DockerException as error:
        raise ValueError(f"no Docker engine responds ({error}); start one, or run without --runner docker") from None


def image_id() -> str:
    """The id of the image that the steps run in, which changes with its code."""
    return str(docker.from_env().images.get(PIPELINE_IMAGE).id)


def docker_runner(recipe: Recipe, run: Path) -> local.DockerRunner:
    """The runner for the folder of a run; after an interruption, `end_containers` kills the remaining containers."""
    return local.DockerRunner(
        user=f"{os.getuid()}:{os.getgid()}",
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": ""},
        working_dir=str(Path.cwd()),
        mounts=[*_mounts(recipe)],
        environment={name: value for name, value in os.environ.items() if name.startswith(_HANDED_ON)},
        labels={_LABEL: run.name},
    )


def end_containers(run: Path) -> None:
    """Kill the containers of this run; those of finished steps are already removed."""
    for container in docker.from_env().containers.list(filters={"label": f"{_LABEL}={run.name}"}):
        container.kill()


def _mounts(recipe: Recipe) -> Iterator[Mount]:
    published = release_root(recipe)
    if isinstance(published, Folder):
        published.root.mkdir(parents=True, exist_ok=True)
        yield Mount(str(published.root), str(published.root), type="bind")
    written = recipe.batch and recipe.batch.out
    if written and isinstance(lists := open_storage(written.rpartition("/")[0] or "."), Folder):
        lists.root.mkdir(parents=True, exist_ok=True)
        yield Mount(str(lists.root), str(lists.root), type="bind")
    if recipe.tracking is not None and (folder := place_of(recipe.tracking).folder) is not None:
        yield Mount(str(folder), str(folder), type="bind")
    read = [one.users for one in [recipe.batch] if one is not None and one.users != "all"]
    read += [one.path for one in [recipe.serving.availability] if one is not None]
    folders = {_folder(path) for path in (*_paths(recipe.source.model_dump()), *read)}
    for folder in sorted(folder for folder in folders if folder is not None and folder.is_dir()):
        yield Mount(str(folder), str(folder), type="bind", read_only=True)


def _paths(value: Any) -> Iterator[str]:
    """The values of the `path` keys of a source, at any depth."""
    if isinstance(value, dict):
        yield from (path for key, path in value.items() if key == "path")
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _paths(inner)


def _folder(path: str) -> Path | None:
    """The folder on this machine that contains the files of a path; None for a remote path."""
    scheme, _, rest = path.partition("://")
    if rest and scheme != "file":
        return None
    return folder_holding(rest or path)
