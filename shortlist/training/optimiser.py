"""The optimiser: AdamW for dense weights, and `RowAdam` or `RowAdagrad` for embedding tables of which a step reads few
rows.

An `nn.Embedding(sparse=True)` has a sparse gradient, and its rows are updated only in the steps that read them.
For a catalogue of a million items, a dense step would read and write the whole table and both moments.
Sparse tables have no weight decay, since it would update every row.

Bytes of a sparse table of N rows of width D, with its state, while training:

    RowAdam      4 N D + 8 N D      RowAdagrad      4 N D + 4 N
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, overload

import torch
from torch import Tensor, nn

from shortlist.recipe import Tables, Training


class _RowOptimiser(torch.optim.Optimizer):
    """Updates the rows of tables that are in their gradients: coalesced sparse tensors of [num_rows, dim]."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        assert closure is None, "no closure is used here"
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._move(table, group)
        return None

    def _move(self, table: Tensor, group: dict[str, Any]) -> None:
        raise NotImplementedError


class RowAdam(_RowOptimiser):
    """Lazy Adam: the moments of a row are updated only in the steps whose gradient has the row.

    The same rule as `torch.optim.SparseAdam` (Kingma & Ba 2015, algorithm 1, per row), but twice as fast, since it
    creates no intermediate sparse tensors.
    """

    def __init__(
        self,
        tables: list[Tensor],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
    ) -> None:
        super().__init__(tables, {"lr": lr, "betas": betas, "eps": eps})

    def _move(self, table: Tensor, group: dict[str, Any]) -> None:
        lr, betas, eps = group["lr"], group["betas"], group["eps"]
        state = self.state[table]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["first"], state["second"] = torch.zeros_like(table), torch.zeros_like(table)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), betas
        assert table.grad is not None
        rows_U, gradient_UD = table.grad._indices()[0], table.grad._values()
        first_UD = state["first"].index_select(0, rows_U).lerp_(gradient_UD, 1 - beta1)
        state["first"].index_copy_(0, rows_U, first_UD)
        second_UD = state["second"].index_select(0, rows_U).mul_(beta2)
        second_UD.addcmul_(gradient_UD, gradient_UD, value=1 - beta2)
        state["second"].index_copy_(0, rows_U, second_UD)
        deviation_UD = second_UD.sqrt_().div_(math.sqrt(1 - beta2**step)).add_(eps)
        table.index_add_(0, rows_U, first_UD.div_(deviation_UD), alpha=-lr / (1 - beta1**step))


class RowAdagrad(_RowOptimiser):
    """Adagrad (Duchi et al. 2011) with one sum of squares per row, the mean over its width, as in DLRM (Naumov et al.
    2019)."""

    def __init__(self, tables: list[Tensor], lr: float, eps: float = 1e-8) -> None:
        super().__init__(tables, {"lr": lr, "eps": eps})

    def _move(self, table: Tensor, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:
            state["sum"] = torch.zeros(len(table), device=table.device)
        assert table.grad is not None
        rows_U, gradient_UD = table.grad._indices()[0], table.grad._values()
        sum_U = state["sum"].index_select(0, rows_U).add_(gradient_UD.float().square().mean(1))
        state["sum"].index_copy_(0, rows_U, sum_U)
        table.index_add_(0, rows_U, gradient_UD / sum_U.sqrt_().add_(group["eps"])[:, None], alpha=-group["lr"])


class _Together:
    """All optimisers as the one that a `GradScaler` steps, so that an overflow in one gradient skips them all."""

    def __init__(self, optimisers: list[torch.optim.Optimizer]) -> None:
        self._optimisers = optimisers

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for optimiser in self._optimisers for group in optimiser.param_groups]

    def step(self) -> None:
        for optimiser in self._optimisers:
            optimiser.step()


class Optimiser:
    """The optimiser of all weights of a model, with one gradient norm for clipping.

    With a `scaler`, the loss must be scaled by `scale` before its gradients are computed; a step with gradients that
    are not finite is then skipped. The state is plain tensors and numbers, which `torch.load(weights_only=True)` can
    read.
    """

    def __init__(
        self,
        model: nn.Module,
        learning_rate: float,
        weight_decay: float,
        clip_norm: float | None,
        scaler: torch.amp.GradScaler | None = None,
        *,
        tables: Tables = Tables(),  # noqa: B008 - immutable
    ) -> None:
        """Without a `scaler`, losses are not scaled."""
        sparse = {
            id(module.weight): module.weight
            for module in model.modules()
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse
        }
        weights = [weight for weight in model.parameters() if weight.requires_grad]
        dense = [weight for weight in weights if id(weight) not in sparse]
        # Only matrices have weight decay: norms, biases and embeddings do not benefit from it.
        embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)}
        decay = [weight for weight in dense if weight.ndim >= 2 and id(weight) not in embeddings]
        plain = [weight for weight in dense if weight.ndim < 2 or id(weight) in embeddings]
        groups = [{"params": decay, "weight_decay": weight_decay}, {"params": plain, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
        self._optimisers: list[torch.optim.Optimizer] = []
        self._shares: list[float] = []  # of the learning rate
        if groups:
            self._optimisers.append(torch.optim.AdamW(groups, lr=learning_rate, fused=True))
            self._shares.append(1.0)
        if sparse:
            kind = {"adam": RowAdam, "rowwise_adagrad": RowAdagrad}[tables.optimiser]
            self._optimisers.append(kind(list(sparse.values()), lr=learning_rate))
            self._shares.append((tables.learning_rate or learning_rate) / learning_rate)
        self.dense, self.tables = dense, list(sparse.values())
        """Weights with dense gradients, and tables with sparse gradients."""
        self._weights, self._clip_norm = weights, clip_norm
        self._together = _Together(self._optimisers)
        self._scaler = torch.amp.GradScaler("cpu", enabled=False) if scaler is None else scaler

    @classmethod
    def of(cls, model: nn.Module, training: Training, device: torch.device) -> "Optimiser":
        """The optimiser of a recipe's training, for a model on this device."""
        scaler = torch.amp.GradScaler(device.type, enabled=training.precision == "float16")
        rate, decay, norm = training.learning_rate, training.weight_decay, training.clip_norm
        return cls(model, rate, decay, norm, scaler, tables=training.tables)

    def scale(self, loss: Tensor) -> Tensor:
        """The loss whose gradients `step` expects."""
        scaled: Tensor = self._scaler.scale(loss)
        return scaled

    def step(self, learning_rate: float) -> None:
        """Clip the gradients to `clip_norm` over all weights, update the weights, and drop the gradients."""
        for weight in self._weights:
            if weight.grad is not None and weight.grad.is_sparse:
                weight.grad = weight.grad.coalesce()
        self._scaler.unscale_(self._together)  # type: ignore[arg-type]  # it reads `param_groups` alone
        if self._clip_norm is not None:
            self._clip(self._clip_norm)
        for optimiser, share in zip(self._optimisers, self._shares, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * share
        self._scaler.step(self._together)  # type: ignore[arg-type]
        self._scaler.update()
        self.zero_grad()

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for optimiser in self._optimisers:
            optimiser.zero_grad(set_to_none=True)

    def _clip(self, largest: float) -> None:
        values = list(self._gradients())
        if not values:
            return
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(values)))
        # No branch on the norm: reading it would make a GPU wait for its own queue at every step.
        torch._foreach_mul_(values, torch.clamp(largest / (norm + 1e-6), max=1.0))

    def _gradients(self) -> Iterator[Tensor]:
        for weight in self._weights:
            if weight.grad is not None:
                # For a coalesced gradient, `_values` is the storage itself and can be scaled in place.
                yield weight.grad._values() if weight.grad.is_sparse else weight.grad

    def state(self) -> list[dict[str, Any]]:
        return [part.state_dict() for part in self._parts()]

    def load(self, state: list[dict[str, Any]]) -> None:
        for part, one in zip(self._parts(), state, strict=True):
            part.load_state_dict(one)

    def _parts(self) -> list[torch.optim.Optimizer | torch.amp.GradScaler]:
        return [*self._optimisers, *([self._scaler] if self._scaler.is_enabled() else [])]
