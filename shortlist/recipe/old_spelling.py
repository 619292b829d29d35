"""Upgrades the old syntax of the loss, from before the loss and its negatives were separate blocks.

A user's recipe with the old syntax is refused with a message that shows the new lines. The recipe of an older release
is upgraded, since it cannot be edited and must still be served and compared (docs/decisions/losses-and-negatives.md).
"""

from collections.abc import Iterator
from typing import Any

from shortlist.recipe.fields import Section
from shortlist.recipe.losses import BceLoss, BprLoss, CosineContrastiveLoss, GbceLoss, SoftmaxLoss
from shortlist.recipe.negatives import FullNegatives, InBatchNegatives, MixedNegatives, UniformNegatives

_KINDS = {
    "in_batch": ("softmax", "in_batch"),
    "mixed": ("softmax", "mixed"),
    "full": ("softmax", "full"),
    "gbce": ("gbce", "uniform"),
    "cosine_contrastive": ("cosine_contrastive", "uniform"),
}
"""`retrieval.loss` -> the kinds of the loss and of its negatives."""
_OF_LOSS = {
    "temperature": "temperature",
    "logq": "log_q",
    "calibration": "calibration",
    "margin": "margin",
    "negative_weight": "negative_weight",
}
_OF_NEGATIVES = {
    "max_negatives": "max_in_batch",
    "uniform_negatives": "num_uniform",
    "hard_negatives": "num_hard",
}
_FIELDS: dict[str, type[Section]] = {
    "softmax": SoftmaxLoss,
    "bce": BceLoss,
    "gbce": GbceLoss,
    "bpr": BprLoss,
    "cosine_contrastive": CosineContrastiveLoss,
    "in_batch": InBatchNegatives,
    "mixed": MixedNegatives,
    "uniform": UniformNegatives,
    "full": FullNegatives,
}


def old_keys(retrieval: dict[str, Any]) -> list[str]:
    """The entries of the block `retrieval` in the old syntax, as `key: value`."""
    found = {key: value for key, value in retrieval.items() if key in _OF_LOSS or key in _OF_NEGATIVES}
    if isinstance(retrieval.get("loss"), str) and retrieval["loss"] in _KINDS:
        found["loss"] = retrieval["loss"]
    if retrieval.get("positions") == "others":
        found["positions"] = "others"
    return [f"{key}: {_shown(found[key])}" for key in retrieval if key in found]


def upgraded(retrieval: dict[str, Any]) -> dict[str, Any]:
    """The equivalent block in the current syntax. Settings that the named loss did not use are left out."""
    keys = old_keys(retrieval)
    if not keys:
        return retrieval
    new = {key: value for key, value in retrieval.items() if key not in _OF_LOSS and key not in _OF_NEGATIVES}
    if new.get("positions") == "others":
        new["positions"] = "leave_one_out"
    if keys == ["positions: others"]:
        return new
    named = new.get("loss", "in_batch")
    loss_kind, negatives_kind = _KINDS[named] if isinstance(named, str) and named in _KINDS else ("softmax", "in_batch")
    loss = dict(named) if isinstance(named, dict) else {"kind": loss_kind}
    given = new.get("negatives")
    negatives = dict(given) if isinstance(given, dict) else {"kind": negatives_kind}
    loss |= dict(_moved(retrieval, _OF_LOSS, loss.get("kind")))
    negatives |= dict(_moved(retrieval, _OF_NEGATIVES, negatives.get("kind")))
    if negatives.get("kind") == "full":
        loss.pop("log_q", None)
    return {**new, "loss": loss, "negatives": negatives}


def new_lines(retrieval: dict[str, Any]) -> list[str]:
    """The lines in the current syntax that replace the old ones."""
    new = upgraded(retrieval)
    changed = [key for key in ("positions", "loss", "negatives") if new.get(key) != retrieval.get(key)]
    return [f"{key}: {_shown(new[key])}" for key in changed]


def _moved(retrieval: dict[str, Any], names: dict[str, str], kind: Any) -> Iterator[tuple[str, Any]]:
    for old, new in names.items():
        if old in retrieval and kind in _FIELDS and new in _FIELDS[kind].model_fields:
            yield new, retrieval[old]


def _shown(value: Any) -> str:
    """A value as YAML on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(one)}' for key, one in value.items())}}}"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)
