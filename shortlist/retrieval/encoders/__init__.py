"""Encoders of the history in the query tower, with a common causal interface, chosen by `retrieval.encoder`."""

from typing import assert_never

from shortlist.recipe import Retrieval
from shortlist.recipe.model import Encoder as Kind
from shortlist.retrieval.encoders.attention import AttentionEncoder
from shortlist.retrieval.encoders.concatenated import ConcatenatedEncoder
from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.hstu import HstuEncoder
from shortlist.retrieval.encoders.leave_one_out import LeaveOneOutEncoder
from shortlist.retrieval.encoders.mean import MeanEncoder
from shortlist.retrieval.encoders.packed import Packed
from shortlist.retrieval.encoders.transformer import TransformerEncoder

__all__ = ["Encoder", "Packed", "encoder_of"]


def encoder_of(retrieval: Retrieval, history_length: int) -> Encoder:
    """The encoder of a recipe, for histories of at most `history_length` events."""
    if retrieval.positions == "leave_one_out":
        return LeaveOneOutEncoder()
    encoders = [_encoder(kind, retrieval, history_length) for kind in retrieval.encoders]
    return encoders[0] if len(encoders) == 1 else ConcatenatedEncoder(encoders)


def _encoder(kind: Kind, retrieval: Retrieval, history_length: int) -> Encoder:
    dim, heads = retrieval.dim, retrieval.heads
    match kind:
        case "mean":
            return MeanEncoder()
        case "attention":
            return AttentionEncoder(dim, history_length, heads)
        case "hstu":
            return HstuEncoder(dim, history_length, retrieval.layers, heads, retrieval.dropout)
        case "transformer":
            return TransformerEncoder(dim, retrieval.layers, heads, retrieval.dropout, gated=retrieval.gated)
        case _:
            assert_never(kind)
