"""The TorchServe handler: passes batches of request bodies to the scorer and returns replies with their statuses."""

import logging
from pathlib import Path
from typing import Any

import torch

from shortlist.serving.predictor.scorer import Scorer


class Handler:
    """TorchServe creates one in each worker; the names of its methods are given by TorchServe."""

    def initialize(self, context: Any) -> None:
        """Open the releases next to the model's manifest. Raises ValueError when one is broken."""
        # At INFO, the worker logs a line for every request, and its parent parses each of them.
        logging.getLogger().setLevel(logging.WARNING)
        torch.set_num_threads(1)
        folders = sorted(Path(context.system_properties["model_dir"]).glob("release-*"))
        self._scorer = Scorer.open(folders, "cuda" if torch.cuda.is_available() else "cpu")

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[bytes]:
        """One reply per request, in order; the statuses are set in the context."""
        replies = self._scorer.score([one.get("body") or one.get("data") for one in data])
        for i, reply in enumerate(replies):
            context.set_response_status(reply.status, idx=i)
            context.set_response_content_type(i, reply.content_type)
        return [reply.body for reply in replies]
