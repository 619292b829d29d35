"""Speed of training: our transformer and RecTools' SASRec, on the same users, batch, width, loss and thread.

    python -m benchmarks.against_rectools [--recipe recipes/movielens-1m.yaml] [--users 512] [--epochs 3]

RecTools is not one of our packages: run this where it is installed beside them (`make bench-quality` makes such a
place). Both see at most the recipe's history length, learn from every position and compare with the whole catalogue.
An example is an item that was learnt from, never padding. Times are those of the processor, in one thread, so that a
busy machine disturbs little; what either needs to start is left out, by taking one epoch's time from that of several.
"""

import argparse
import logging
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models.nn.transformers.sasrec import SASRecModel

from benchmarks.train import prepared_store
from shortlist.dataset.prepared import Prepared
from shortlist.dataset.split import TRAIN
from shortlist.recipe import FullNegatives, Recipe, SoftmaxLoss, load_recipe
from shortlist.retrieval.task import RetrievalTask
from shortlist.training.optimiser import Optimiser


def rows_of(prepared: Prepared, users: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """User rows and item rows of the train positives of the first users."""
    samples = prepared.samples
    at = np.flatnonzero((samples.part == TRAIN) & samples.label & (samples.user <= users))
    return samples.user[at].astype(np.int64), samples.item[at].astype(np.int64)


def theirs(recipe: Recipe, prepared: Prepared, users: int, epochs: int) -> int:
    """Train; how many examples an epoch has."""
    user, item = rows_of(prepared, users)
    retrieval, length = recipe.retrieval, prepared.store.schema.history_length
    times = pd.to_datetime(np.arange(len(user)), unit="s")
    table = pd.DataFrame({Columns.User: user, Columns.Item: item, Columns.Weight: 1.0, Columns.Datetime: times})
    model = SASRecModel(
        n_blocks=retrieval.layers,
        n_heads=retrieval.heads,
        n_factors=retrieval.dim,
        dropout_rate=retrieval.dropout,
        session_max_len=length,
        loss="softmax",
        lr=retrieval.training.learning_rate,
        batch_size=retrieval.training.batch_size,
        epochs=epochs,
    )
    model.fit(Dataset.construct(table))
    return int(np.minimum(np.unique(user, return_counts=True)[1] - 1, length).sum())


def ours(recipe: Recipe, prepared: Prepared, users: int, epochs: int) -> int:
    """The same with our windows."""
    part = np.where(prepared.samples.user <= users, prepared.samples.part, 0)
    object.__setattr__(prepared.samples, "part", part)
    own = recipe.retrieval.loss
    loss = own if isinstance(own, SoftmaxLoss) else SoftmaxLoss(kind="softmax")
    retrieval = recipe.retrieval.model_copy(update={"loss": loss, "negatives": FullNegatives(kind="full")})
    task, training = RetrievalTask(recipe.model_copy(update={"retrieval": retrieval}), prepared), retrieval.training
    optimiser = Optimiser.of(task.model, training, torch.device("cpu"))
    task.model.train()
    for epoch in range(epochs):
        for step in range(task.num_batches(epoch)):
            task.loss(epoch, step)[0].backward()  # type: ignore[no-untyped-call]
            optimiser.step(training.learning_rate)
    return len(task.batches.examples)


def examples_per_second(
    train: Callable[[Recipe, Prepared, int, int], int], recipe: Recipe, folder: Path, users: int, epochs: int
) -> float:
    """Examples of `epochs - 1` epochs by what they add to the time of one."""
    spent, examples = [], 0
    for number in (1, epochs):
        start = time.process_time()
        examples = train(recipe, Prepared.open(folder), users, number)
        spent.append(time.process_time() - start)
    return examples * (epochs - 1) / (spent[1] - spent[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", type=Path, default=Path("recipes/movielens-1m.yaml"))
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    recipe = load_recipe(given.recipe)
    with tempfile.TemporaryDirectory() as folder:
        prepared_store(recipe, Path(folder))
        speeds = [
            examples_per_second(train, recipe, Path(folder) / "prepared", given.users, given.epochs)
            for train in (theirs, ours)
        ]
    print(f"SASRec of RecTools {speeds[0]:,.0f} examples/s, ours {speeds[1]:,.0f}: {speeds[1] / speeds[0]:.2f} x")


if __name__ == "__main__":
    main()
