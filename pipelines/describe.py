"""Documents the inputs and outputs of each component, for use in other pipelines.

`python -m shortlist.pipelines.describe` writes components/metadata/NAME.yaml and components/README.md from the
compiled components; `make compile` runs it, and a test fails when the files are stale.
"""

from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import yaml
from kfp import __version__ as kfp_version
from kfp.dsl.base_component import BaseComponent

from shortlist.recipe import Resources
from shortlist.recipe.resources import Step

FOLDER = Path(__file__).parents[1] / "components"
STABILITY = "beta"
"""The stability before version 1.0: inputs and outputs may change in a minor version, with an entry in CHANGELOG."""
_SERVICES = {
    "ingest": "the sources of the recipe: files, a bucket or the Hugging Face hub",
    "survey": "the sources of the recipe: files, a bucket or the Hugging Face hub",
    "train_retrieval": "Kubeflow Trainer 2, only with `resources.distributed`",
    "evaluate": "the storage that the recipe publishes to, if a release is live",
    "publish": "the storage that the recipe publishes to",
    "write_lists": "the storage that the recipe publishes to, and those that its `batch` names",
    "report": "the MLflow server that the recipe's `tracking` names, if it has one",
    "conclude": "the storage that the recipe publishes to",
}

HEAD = """\
<!-- Written by `make compile` from the compiled components; edit their docstrings instead. -->
# Components

One Kubeflow Pipelines component per step. Each runs in the image `shortlist/pipeline`, which `make images` builds and
which contains the library; nothing is installed when a step starts. The settings of a step are in the recipe, which
every component takes as YAML text. `metadata/` has the same information in machine-readable form, one file per
component.

```python
from kfp import dsl

from shortlist.components.ingest import ingest
from shortlist.components.survey import survey
from shortlist.components.validate import validate


@dsl.pipeline
def check_data(recipe: str) -> None:
    version = survey(recipe=recipe).output
    tables = ingest(recipe=recipe, version=version).outputs["tables"]
    validate(recipe=recipe, tables=tables)
```

The stability of all components is `beta`: until version 1.0, inputs and outputs may change in a minor version, with an
entry in the changelog. Requests for memory and CPU are the defaults of the recipe's `resources` block; limits, GPUs,
secrets and volumes are set there, for all steps or for one.

| component | description |
|---|---|
"""


def load(step: str) -> BaseComponent:
    found: BaseComponent = getattr(import_module(f"shortlist.components.{step}"), step)
    return found


def metadata(step: Step) -> dict[str, Any]:
    """The description of a component as plain data."""
    component = load(step)
    spec = component.component_spec
    documented = _documented(component.python_func.__doc__ or "")
    given = Resources().of(step)
    services = [{"name": _SERVICES[step]}] if step in _SERVICES else []
    return {
        "name": step,
        "description": spec.description,
        "stability": STABILITY,
        "image": spec.implementation.container.image,
        "inputs": [
            _port(name, one.type, documented[name]) | ({"default": one.default} if one.optional else {})
            for name, one in (spec.inputs or {}).items()
        ],
        "outputs": [
            _port(name, one.type, documented["Returns" if name == "Output" else name])
            for name, one in (spec.outputs or {}).items()
        ],
        "resources": {"cpu": given.cpu, "memory_gb": given.memory_gb, "gpus": given.gpus},
        "dependencies": {
            "kubeflow": [{"name": "Pipelines", "version": f">={kfp_version}"}],
            "external_services": services,
        },
    }


def render() -> dict[Path, str]:
    """The path and text of every generated file."""
    found = [metadata(step) for step in get_args(Step)]
    files = {
        FOLDER / "metadata" / f"{one['name']}.yaml": "# Written by `make compile`.\n"
        + yaml.safe_dump(one, sort_keys=False, width=116, allow_unicode=True)
        for one in found
    }
    files[FOLDER / "README.md"] = (
        HEAD
        + "".join(f"| [`{one['name']}`](#{one['name']}) | {one['description']} |\n" for one in found)
        + "".join(map(_section, found))
    )
    return files


def _port(name: str, kind: str, description: str) -> dict[str, Any]:
    return {"name": name, "type": kind.partition("@")[0], "description": description}


def _documented(docstring: str) -> dict[str, str]:
    """Name -> description from the `Args` and `Returns` of a docstring; kfp keeps only those of the inputs."""
    found, returns = {}, False
    for line in docstring.splitlines():
        text = line.strip()
        if text == "Returns:":
            returns = True
        elif returns and text:
            found["Returns"] = text
        elif line.startswith(" " * 8) and ": " in text:
            name, _, description = text.partition(": ")
            found[name] = description
    return found


def _section(one: dict[str, Any]) -> str:
    requests = one["resources"]
    lines = [
        f"\n## {one['name']}\n\n{one['description']}\n",
        f"Image `{one['image']}`; requests {requests['cpu']} CPU and {requests['memory_gb']:g} GB of memory by default."
        + "".join(f" Needs {service['name']}." for service in one["dependencies"]["external_services"])
        + "\n",
        "| | name | type | description |\n|---|---|---|---|",
    ]
    for side in ("inputs", "outputs"):
        lines += [f"| {side[:-1]} | `{port['name']}` | {port['type']} | {port['description']} |" for port in one[side]]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for file, text in render().items():
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
