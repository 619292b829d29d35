"""The DAG of the pipeline, from raw events to a published release."""

from typing import cast

from kfp import dsl
from kfp.dsl.base_component import BaseComponent

from shortlist.components.build_index import build_index
from shortlist.components.conclude import conclude
from shortlist.components.evaluate import evaluate
from shortlist.components.export import export
from shortlist.components.image import PIPELINE_IMAGE
from shortlist.components.ingest import ingest
from shortlist.components.prepare import prepare
from shortlist.components.publish import publish
from shortlist.components.report import report
from shortlist.components.survey import survey
from shortlist.components.train_ranking import train_ranking
from shortlist.components.train_retrieval import train_retrieval
from shortlist.components.validate import validate
from shortlist.components.write_lists import write_lists
from shortlist.pipelines.provision import provision
from shortlist.recipe import Resources, Step


def train_and_publish(resources: Resources, image: str = PIPELINE_IMAGE) -> BaseComponent:
    """The pipeline with these resources and this image."""

    @dsl.pipeline(name="shortlist", description="Raw events to a published release.")
    def pipeline(recipe: str, forced_by: str = "") -> None:
        """Train, evaluate and publish one recommender.

        Args:
            recipe: The recipe, as YAML text.
            forced_by: Who overrules the gate; empty for nobody (kfp's local runner does not support null).
        """
        concluded = conclude(recipe=recipe)
        with dsl.ExitHandler(concluded, name="steps"):
            surveyed = survey(recipe=recipe)
            ingested = ingest(recipe=recipe, version=surveyed.output)
            validated = validate(recipe=recipe, tables=ingested.outputs["tables"])
            prepared = prepare(recipe=recipe, clean=validated.outputs["clean"])
            data = {part: prepared.outputs[part] for part in ("features", "queries")}
            whole = data | {"samples": prepared.outputs["samples"]}  # large, so only passed to the steps that read them
            trained = train_retrieval(recipe=recipe, **whole)
            exported = export(recipe=recipe, **data, towers=trained.outputs["towers"])
            towers = {name: exported.outputs[name] for name in ("retrieval", "retrieval_before_refit")}
            indexed = build_index(recipe=recipe, **whole, **towers)
            indexes = {name: indexed.outputs[name] for name in ("index", "index_before_refit")}
            ranked = train_ranking(recipe=recipe, **whole, **towers, **indexes)
            served = {"retrieval": towers["retrieval"], "index": indexes["index"]}
            parts = served | {"ranking": ranked.outputs["ranking"]}
            evaluated = evaluate(recipe=recipe, **whole, **parts)
            published = publish(
                recipe=recipe,
                features=data["features"],
                prepare=prepared.outputs["record"],
                **parts,
                evaluation=evaluated.outputs["evaluation"],
                forced_by=forced_by,
            )
            listed = write_lists(recipe=recipe, decision=published.outputs["decision"])
            reported = report(
                recipe=recipe,
                ingest=ingested.outputs["record"],
                validate=validated.outputs["record"],
                prepare=prepared.outputs["record"],
                train_retrieval=trained.outputs["record"],
                export=exported.outputs["record"],
                build_index=indexed.outputs["record"],
                train_ranking=ranked.outputs["record"],
                evaluate=evaluated.outputs["record"],
                publish=published.outputs["record"],
                write_lists=listed.outputs["record"],
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            )
        # These steps also read what may change without a change of their inputs: sources, releases, users, the stock.
        for task in (surveyed, evaluated, published, listed, concluded):
            task.set_caching_options(enable_caching=False)
        tasks = (surveyed, ingested, validated, prepared, trained, exported, indexed, ranked, evaluated, published)
        for task in (*tasks, listed, reported, concluded):
            provision(task.set_container_image(image), resources.of(_step_of(task)))

    return pipeline


def _step_of(task: dsl.PipelineTask) -> Step:
    """The name of a step in the recipe is that of its component, which kfp writes with hyphens."""
    return cast(Step, task.name.replace("-", "_"))
