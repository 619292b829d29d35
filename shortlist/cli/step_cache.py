"""The cache of kfp's local runner, with which a step that is complete is not run again.

kfp has a cache of its own. Its key is the whole text of the recipe and the paths of the inputs, not their content, and
it never finds a step with an output of metrics, which has no file. This one takes its place: docs/decisions/resume.md.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, cast

from kfp.dsl import Artifact
from kfp.dsl.executor import create_artifact_instance
from kfp.local import cache, executor_input_utils

from shortlist.cli.step_records import OUTPUTS, Inputs, StepRecords, StepState
from shortlist.pipelines.recipe_reads import differing, first_read
from shortlist.progress import say
from shortlist.recipe import Recipe, Step
from shortlist.release.publish import live_name, release_root

_EXECUTOR_OUTPUT = "executor_output.json"


class StepCache:
    """Finds the outputs of complete steps in a run folder; the interface is that of kfp's LocalCache.

    kfp asks for one step after the other. Each key contains the key of the step before, so a step is found only if all
    steps before it were found or have written the same again.
    """

    def __init__(self, run: Path, recipe: Recipe, code: str) -> None:
        self._records, self._recipe, self._code = StepRecords(run), recipe, code
        self._step: Step = "survey"
        self._current = StepState(key="", inputs=Inputs(after="", code=code, recipe={}, parameters={}))

    def install(self) -> None:
        """Let kfp use this cache, and the same output folder whenever the run goes on; kfp has no option for either."""
        cache.get_local_cache = lambda: self
        executor_input_utils.get_local_pipeline_resource_name = lambda _: OUTPUTS

    def compute_key(self, component_name: str, full_command: list[str], arguments: dict[str, Any], **_: Any) -> str:
        """The hash of all inputs of the step; its command contains the code of the component."""
        self._step = cast(Step, component_name.removeprefix("comp-").replace("-", "_"))
        given = {name: value for name, value in arguments.items() if not isinstance(value, Artifact)}
        del given["recipe"]
        if self._step == "evaluate":
            given["live release"] = self._live_release()
        # A survey is asked for again as long as what it is for is not there.
        after = "" if self._step == "survey" else self._current.key
        code = hashlib.sha256(json.dumps([self._code, full_command]).encode()).hexdigest()
        inputs = Inputs(after=after, code=code, recipe=first_read(self._recipe, self._step), parameters=given)
        text = json.dumps([self._step, inputs.model_dump()], sort_keys=True)
        self._current = StepState(key=hashlib.sha256(text.encode()).hexdigest(), inputs=inputs)
        return self._current.key

    def get(self, key: str) -> dict[str, Any] | None:
        """The outputs of the step if it is complete and had the same inputs, otherwise None: it then starts."""
        step, before = self._step, self._records.read(self._step)
        complete = self._records.is_complete(step)
        if step == "survey":
            complete = complete and self._records.is_complete("ingest")
        if complete and before is not None and before.key == key and before.outputs is not None:
            say(f"step {_shown(step)}: reused")
            return {name: self._decoded(value) for name, value in before.outputs.items()}
        if before is not None and (why := _why(before.inputs, self._current.inputs)):
            say(f"step {_shown(step)}: runs again, since {why} changed")
        self._records.start(step, self._current)
        return None

    def put(self, key: str, outputs: dict[str, Any]) -> None:
        """Note the outputs of the step, which has succeeded."""
        assert key == self._current.key
        # kfp's Docker runner can report success for a failed step, but only a step that succeeds writes this file.
        if (self._records.folder(self._step) / _EXECUTOR_OUTPUT).exists():
            self._records.complete(self._step, {name: self._encoded(value) for name, value in outputs.items()})

    def _live_release(self) -> str | None:
        """The release that evaluate compares with; after publishing, the one that it compared with."""
        record = self._records.read("evaluate")
        if record is not None and self._records.is_complete("publish"):
            compared: str | None = record.inputs.parameters["live release"]
            return compared
        try:
            return live_name(release_root(self._recipe))
        except (OSError, ValueError) as error:
            return f"unknown: {error}"  # evaluate meets the same error, and explains it

    def _encoded(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Artifact):
            return {"value": value}
        path = Path(value.uri).relative_to(self._records.run).as_posix()
        return {"path": path, "name": value.name, "type": value.schema_title, "metadata": value.metadata}

    def _decoded(self, value: dict[str, Any]) -> Any:
        if "path" not in value:
            return value["value"]
        uri = str(self._records.run / value["path"])
        kind = {"schemaTitle": value["type"]}
        return create_artifact_instance(
            {"name": value["name"], "uri": uri, "metadata": value["metadata"], "type": kind}
        )


_NAMES = {"version": "the source data", "live release": "the live release", "forced_by": "--force"}


def _why(before: Inputs, now: Inputs) -> str:
    """What differs between the inputs of a step, in words; empty if only the outputs of earlier steps may differ."""
    if before.code != now.code:
        return "the code of Shortlist"
    changed = differing(before.recipe, now.recipe)
    changed += [_NAMES.get(name, name) for name in differing(before.parameters, now.parameters)]
    return ", ".join(changed[:3]) + (", ..." if len(changed) > 3 else "")


def _shown(step: Step) -> str:
    return step.replace("_", "-")
