"""The handler that TorchServe loads: batches of bodies to the scorer, replies with their statuses back."""

import logging
from pathlib import Path
from typing import Any

import torch

from shortlist.serving.predictor.scorer import Scorer


class Handler:
    """TorchServe makes one in each worker; its methods' names are TorchServe's."""

    def initialize(self, context: Any) -> None:
        """Open the releases that lie beside the model's manifest. Raises ValueError when one is broken."""
        # The worker logs a line for every request, and its parent parses each.
        logging.getLogger().setLevel(logging.WARNING)
        torch.set_num_threads(1)
        folders = sorted(Path(context.system_properties["model_dir"]).glob("release-*"))
        self._scorer = Scorer.open(folders, "cuda" if torch.cuda.is_available() else "cpu")

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One reply a request, in order; the statuses go through the context."""
        replies = self._scorer.answer([one.get("body") or one.get("data") for one in data])
        for i, reply in enumerate(replies):
            context.set_response_status(reply.status, idx=i)
            context.set_response_content_type(i, reply.content_type)
        return [reply.body for reply in replies]
