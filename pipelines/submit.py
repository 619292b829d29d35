"""Submits a recipe to a cluster: checks it, and uploads, starts or schedules the pipeline with its resources."""

import contextlib
import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml
from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from shortlist.components.image import PIPELINE_IMAGE
from shortlist.pipelines.back_end import BackEnd, refusal
from shortlist.pipelines.compile import compile_pipeline
from shortlist.pipelines.errors import BackEndError
from shortlist.pipelines.older import HANDLER, old_spelling, without_handler
from shortlist.recipe import FilesSource, Recipe, RecipeError, YambdaSource, dump_recipe
from shortlist.tracking.place import is_folder

_PIPELINE = "shortlist"
_OLDEST = (2, 0, 0)
_NO_HANDLER = "task final status not supported"
_REMOTE = ("s3://", "hf://", "http://", "https://")


@dataclass(frozen=True)
class Package:
    """The uploaded package: the pipeline with the resources of one recipe."""

    documents: list[dict[str, object]]
    """The IR, and the Kubernetes settings of its steps if the recipe has any."""

    @property
    def version(self) -> str:
        """A hash of the content, so that the same resources and code are uploaded only once."""
        return hashlib.sha256(yaml.safe_dump_all(self.documents).encode()).hexdigest()[:12]


def check_recipe(recipe: Recipe, origin: str) -> None:
    """Raises RecipeError for paths that exist on this machine, but not in pods."""
    mounted = [PurePosixPath(volume.path) for volume in recipe.resources.volumes]

    def reachable(path: str) -> bool:
        inside = any(PurePosixPath(path).is_relative_to(folder) for folder in mounted)
        return path.startswith(_REMOTE) or inside

    wrong = [
        f"  {place}: {path!r} is on this machine, but the steps run on the cluster: copy it to a bucket and write "
        "s3://bucket/path, or mount a volume with it (resources.volumes) and write its path there"
        for place, path in _read_by(recipe)
        if not reachable(path)
    ]
    if not reachable(recipe.publish.to):
        wrong.append(
            f"  publish.to: {recipe.publish.to!r} would be deleted with the pod of the step: write s3://bucket/prefix, "
            "with the bucket's keys in resources.secrets and its address, if it is not AWS, in resources.env as "
            "AWS_ENDPOINT_URL"
        )
    if recipe.batch is not None and recipe.batch.out is not None and not reachable(recipe.batch.out):
        wrong.append(
            f"  batch.out: {recipe.batch.out!r} would be deleted with the pod of the step: write s3://bucket/key, or "
            "leave it out to get the lists as an artifact of the run"
        )
    if recipe.tracking is not None and (problem := _unreachable_tracking(recipe, reachable)):
        wrong.append(f"  tracking.uri: {problem}")
    if wrong:
        count = f"{len(wrong)} error{'s' * (len(wrong) != 1)} for a run on a cluster"
        raise RecipeError("\n".join([f"{origin}: {count}", *wrong]))


def _unreachable_tracking(recipe: Recipe, reachable: Callable[[str], bool]) -> str | None:
    """Why the report step could not log the run; None if it can."""
    assert recipe.tracking is not None
    given = recipe.resources.of("report")
    secret = any("MLFLOW_TRACKING_URI" in one.env for one in given.secrets)
    uri = recipe.tracking.uri or given.env.get("MLFLOW_TRACKING_URI")
    if uri is None:
        missing = "without an address, runs would be logged to a folder that is deleted with the pod of the step"
        return None if secret else f"{missing}: write that of the MLflow server, like http://mlflow.mlflow:5000"
    if is_folder(uri) and not reachable(uri):
        return f"{uri!r} would be deleted with the pod of the step: write the address of an MLflow server"
    return None


def _read_by(recipe: Recipe) -> list[tuple[str, str]]:
    """(place in the recipe, path) of all files that the steps read."""
    source, users, stock = recipe.source, recipe.batch and recipe.batch.users, recipe.serving.availability
    others = [("batch.users", users)] if users and users != "all" else []
    others += [("serving.availability.path", stock.path)] if stock is not None and recipe.batch is not None else []
    if isinstance(source, YambdaSource):
        return [("source.path", source.path), *others]
    if not isinstance(source, FilesSource):
        return others
    paths = [(f"source.events.{i}.path", table.path) for i, table in enumerate(source.events)]
    tables = {"items": source.items, "users": source.users}
    return paths + [(f"source.{name}.path", table.path) for name, table in tables.items() if table is not None] + others


def package(recipe: Recipe, image: str = PIPELINE_IMAGE) -> Package:
    """The pipeline with this recipe's resources; without any, it is the committed file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compile_pipeline(path, recipe.resources, image)
        return Package(list(yaml.safe_load_all(path.read_text())))


def for_version(whole: Package, version: tuple[int, ...]) -> tuple[Package, list[str]]:
    """The package for a back end of this version, and what was left out."""
    if version >= HANDLER:
        return whole, []
    pipeline, *platform = whole.documents
    left_out = ["the exit handler"]
    documents = [without_handler(pipeline)]
    if platform:
        older, dropped = old_spelling(platform[0], version)
        documents, left_out = [*documents, older], left_out + dropped
    return Package(documents), left_out


def start(
    back_end: BackEnd,
    recipe: Recipe,
    experiment: str,
    image: str,
    forced_by: str | None = None,
    cron: str | None = None,
) -> tuple[str, list[str]]:
    """Upload the pipeline and start a run, or with `cron` a recurring run; returns its id and what was left out.

    A back end with an unknown version first gets the full package, and if it refuses that, the package for the oldest
    version. Raises BackEndError.
    """
    whole = package(recipe, image)
    try:
        if back_end.version is not None:
            sent, left_out = for_version(whole, back_end.version)
            return _start(back_end, sent, recipe, experiment, forced_by, cron), left_out
        try:
            return _start(back_end, whole, recipe, experiment, forced_by, cron), []
        except ApiException as error:
            if _NO_HANDLER not in str(error.body):
                raise
        sent, left_out = for_version(whole, _OLDEST)
        return _start(back_end, sent, recipe, experiment, forced_by, cron), left_out
    except ApiException as error:
        raise refusal(error, back_end.host) from error
    except HTTPError as error:
        raise BackEndError(f"{back_end.host}: the connection broke ({error}); submit again") from error


def _start(
    back_end: BackEnd, sent: Package, recipe: Recipe, experiment: str, forced_by: str | None, cron: str | None
) -> str:
    with contextlib.redirect_stdout(io.StringIO()):  # kfp prints links, which are shown in another form here
        return _start_quietly(back_end, sent, recipe, experiment, forced_by, cron)


def _start_quietly(
    back_end: BackEnd, sent: Package, recipe: Recipe, experiment: str, forced_by: str | None, cron: str | None
) -> str:
    pipeline, version = _upload(back_end, sent)
    inside = back_end.client.create_experiment(experiment)
    job = {
        "experiment_id": inside.experiment_id,
        "job_name": recipe.name,
        "params": {"recipe": dump_recipe(recipe)} | ({"forced_by": forced_by} if forced_by else {}),
        "pipeline_id": pipeline,
        "version_id": version,
    }
    if cron is None:
        return str(back_end.client.run_pipeline(**job).run_id)
    return str(back_end.client.create_recurring_run(**job, cron_expression=cron, no_catchup=True).recurring_run_id)


def _upload(back_end: BackEnd, sent: Package) -> tuple[str, str]:
    """The ids of the pipeline and of its version with this content, which are uploaded if necessary."""
    client = back_end.client
    pipeline = client.get_pipeline_id(_PIPELINE)
    if pipeline is not None:
        versions = client.list_pipeline_versions(pipeline, page_size=100, sort_by="created_at desc")
        for one in versions.pipeline_versions or []:
            if one.display_name == sent.version:
                return pipeline, one.pipeline_version_id
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{sent.version}.yaml"
        path.write_text(yaml.safe_dump_all(sent.documents, sort_keys=False))
        if pipeline is None:
            pipeline = client.upload_pipeline(str(path), pipeline_name=_PIPELINE).pipeline_id
        one = client.upload_pipeline_version(str(path), pipeline_version_name=sent.version, pipeline_id=pipeline)
    return pipeline, one.pipeline_version_id
