"""Compiles the pipeline: `python -m shortlist.pipelines.compile [FILE]`, by default to the YAML next to this file."""

import sys
from pathlib import Path

from kfp import compiler

from shortlist.components.image import PIPELINE_IMAGE
from shortlist.pipelines.train_and_publish import train_and_publish
from shortlist.recipe import Resources

COMPILED = Path(__file__).parent / "train_and_publish.yaml"


def compile_pipeline(to: Path, resources: Resources, image: str = PIPELINE_IMAGE) -> None:
    """Write the IR as YAML; for the resources of a recipe, a second document has the Kubernetes settings."""
    compiler.Compiler().compile(train_and_publish(resources, image), str(to))


if __name__ == "__main__":
    compile_pipeline(Path(sys.argv[1]) if len(sys.argv) > 1 else COMPILED, Resources())
