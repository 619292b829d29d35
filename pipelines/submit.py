"""A recipe on a cluster: is it fit for one; its pipeline with its resources, uploaded and started or scheduled."""

import contextlib
import hashlib
import io
import tempfile
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

_PIPELINE = "shortlist"
_OLDEST = (2, 0, 0)
_NO_HANDLER = "task final status not supported"
_REMOTE = ("s3://", "hf://", "http://", "https://")


@dataclass(frozen=True)
class Package:
    """What is uploaded: the pipeline with one recipe's resources."""

    documents: list[dict[str, object]]
    """The IR, and what Kubernetes gives its steps if the recipe asks for that."""

    @property
    def version(self) -> str:
        """Names the content: the same resources and code are uploaded once."""
        return hashlib.sha256(yaml.safe_dump_all(self.documents).encode()).hexdigest()[:12]


def check_recipe(recipe: Recipe, origin: str) -> None:
    """Raises RecipeError for what works on one machine and not in pods: folders that they do not see."""
    mounted = [PurePosixPath(volume.path) for volume in recipe.resources.volumes]

    def seen(path: str) -> bool:
        inside = any(PurePosixPath(path).is_relative_to(folder) for folder in mounted)
        return path.startswith(_REMOTE) or inside

    wrong = [
        f"  {place}: {path!r} is on this machine, where the steps do not run: put it into a bucket and write "
        "s3://bucket/path, or mount a volume that holds it (resources.volumes) and write its path there"
        for place, path in _read_by(recipe)
        if not seen(path)
    ]
    if not seen(recipe.publish.to):
        wrong.append(
            f"  publish.to: {recipe.publish.to!r} would end with the step's pod: write s3://bucket/prefix, with the "
            "bucket's keys in resources.secrets and its address, if it is not AWS, in resources.env as AWS_ENDPOINT_URL"
        )
    if wrong:
        raise RecipeError("\n".join([f"{origin}: {len(wrong)} to change before a cluster can run it", *wrong]))


def _read_by(recipe: Recipe) -> list[tuple[str, str]]:
    """(place in the recipe, path) of all that ingest reads."""
    source = recipe.source
    if isinstance(source, YambdaSource):
        return [("source.path", source.path)]
    if not isinstance(source, FilesSource):
        return []
    paths = [(f"source.events.{i}.path", table.path) for i, table in enumerate(source.events)]
    tables = {"items": source.items, "users": source.users}
    return paths + [(f"source.{name}.path", table.path) for name, table in tables.items() if table is not None]


def package(recipe: Recipe, image: str = PIPELINE_IMAGE) -> Package:
    """The pipeline with this recipe's resources; with none of its own, the very file that is checked in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pipeline.yaml"
        compile_pipeline(path, recipe.resources, image)
        return Package(list(yaml.safe_load_all(path.read_text())))


def for_version(whole: Package, version: tuple[int, ...]) -> tuple[Package, list[str]]:
    """The package as a back end of this version can run it, and what had to be left out."""
    if version >= HANDLER:
        return whole, []
    pipeline, *platform = whole.documents
    left_out = ["the exit handler"]
    documents = [without_handler(pipeline)]
    if platform:
        spelt, dropped = old_spelling(platform[0], version)
        documents, left_out = [*documents, spelt], left_out + dropped
    return Package(documents), left_out


def start(
    back_end: BackEnd,
    recipe: Recipe,
    experiment: str,
    image: str,
    forced_by: str | None = None,
    cron: str | None = None,
) -> tuple[str, list[str]]:
    """Upload the pipeline and start a run, or with `cron` a recurring one: its id, and what had to be left out.

    A back end that does not tell its version is tried with all, and then taken for the oldest. Raises BackEndError.
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
    with contextlib.redirect_stdout(io.StringIO()):  # kfp prints links that are shown here otherwise
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
    """Ids of the pipeline and of its version of this content, which may be there already."""
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
