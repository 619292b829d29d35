"""Trains the two towers in several processes.

    torchrun ... -m shortlist.retrieval.together RECIPE FEATURES SAMPLES QUERIES OUT RESULT

`torchrun` starts this once per GPU (or several times on a CPU, for tests) and sets the rank in the environment. The
first process writes the checkpoints to the folder OUT and the step's result to the JSON file RESULT. Without `torchrun`
there is one process, which does the same as the pipeline's step.
"""

import os
import sys
from pathlib import Path

import torch

from shortlist.cpus import available_cpus
from shortlist.dataset.prepared import Prepared
from shortlist.recipe import load_recipe
from shortlist.retrieval.train_retrieval import train_retrieval
from shortlist.training.processes import joined


def main(recipe: str, features: str, samples: str, queries: str, out: str, result: str) -> None:
    """Raises TrainingError, in all processes equally."""
    torch.set_num_threads(max(available_cpus() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1))
    with joined() as processes:
        if not processes.first:
            sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - only the first process prints progress
        prepared = Prepared(features=Path(features), samples=Path(samples), queries=Path(queries))
        done = train_retrieval(load_recipe(recipe), prepared, Path(out), processes)
        if processes.first:
            Path(result).write_text(done.model_dump_json(indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
