"""Encoders of the history in the query tower, with a common causal interface, chosen by `retrieval.encoder`."""

from shortlist.recipe import Retrieval
from shortlist.retrieval.encoders.attention import AttentionEncoder
from shortlist.retrieval.encoders.encoder import Encoder
from shortlist.retrieval.encoders.hstu import HstuEncoder
from shortlist.retrieval.encoders.leave_one_out import LeaveOneOutEncoder
from shortlist.retrieval.encoders.mean import MeanEncoder
from shortlist.retrieval.encoders.packed import Packed
from shortlist.retrieval.encoders.transformer import TransformerEncoder

__all__ = ["Encoder", "Packed", "encoder_of"]


def encoder_of(retrieval: Retrieval, history_length: int) -> Encoder:
    """The encoder of a recipe, for histories of at most `history_length` events."""
    dim, heads = retrieval.dim, retrieval.heads
    if retrieval.positions == "leave_one_out":
        return LeaveOneOutEncoder()
    if retrieval.encoder == "mean":
        return MeanEncoder()
    if retrieval.encoder == "attention":
        return AttentionEncoder(dim, history_length, heads)
    if retrieval.encoder == "hstu":
        return HstuEncoder(dim, history_length, retrieval.layers, heads, retrieval.dropout)
    return TransformerEncoder(dim, retrieval.layers, heads, retrieval.dropout, gated=retrieval.gated)
