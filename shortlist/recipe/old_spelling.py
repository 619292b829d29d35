"""How recipes spelt the loss before it and its negatives were two blocks, and what the same values are called now.

A recipe that is read today is told the new lines and refused. That of an older release is read by them: it cannot be
edited, and it must go on to be served and compared (docs/decisions/losses-and-negatives.md).
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


def old_words(retrieval: dict[str, Any]) -> list[str]:
    """What of the block `retrieval` is in the old spelling, as `key: value`."""
    found = {key: value for key, value in retrieval.items() if key in _OF_LOSS or key in _OF_NEGATIVES}
    if isinstance(retrieval.get("loss"), str) and retrieval["loss"] in _KINDS:
        found["loss"] = retrieval["loss"]
    if retrieval.get("positions") == "others":
        found["positions"] = "others"
    return [f"{key}: {_shown(found[key])}" for key in retrieval if key in found]


def respelt(retrieval: dict[str, Any]) -> dict[str, Any]:
    """The block with the same meaning in today's spelling. What the named loss never read is left out."""
    words = old_words(retrieval)
    if not words:
        return retrieval
    new = {key: value for key, value in retrieval.items() if key not in _OF_LOSS and key not in _OF_NEGATIVES}
    if new.get("positions") == "others":
        new["positions"] = "leave_one_out"
    if words == ["positions: others"]:
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
    """The lines of the block that say today what the old ones said."""
    new = respelt(retrieval)
    changed = [key for key in ("positions", "loss", "negatives") if new.get(key) != retrieval.get(key)]
    return [f"{key}: {_shown(new[key])}" for key in changed]


def _moved(retrieval: dict[str, Any], names: dict[str, str], kind: Any) -> Iterator[tuple[str, Any]]:
    for old, new in names.items():
        if old in retrieval and kind in _FIELDS and new in _FIELDS[kind].model_fields:
            yield new, retrieval[old]


def _shown(value: Any) -> str:
    """As YAML writes it on one line."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_shown(one)}' for key, one in value.items())}}}"
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return str(value)
