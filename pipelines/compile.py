"""Compile the pipeline: `python -m pipelines.compile [FILE]`, by default over the YAML beside this file."""

import sys
from pathlib import Path

from kfp import compiler

from pipelines.train_and_publish import train_and_publish

COMPILED = Path(__file__).parent / "train_and_publish.yaml"


def compile_pipeline(to: Path) -> None:
    """Write the pipeline's IR as YAML."""
    compiler.Compiler().compile(train_and_publish, str(to))


if __name__ == "__main__":
    compile_pipeline(Path(sys.argv[1]) if len(sys.argv) > 1 else COMPILED)
