"""A two-tower model as tutorials write it, in plain PyTorch: user id and item id, in-batch softmax, no correction.

Shapes: B examples, D width, N item rows.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.peers import Scored
from benchmarks.quality.rows import Ints, Rows


def tower(count: int, dim: int) -> nn.Sequential:
    """Id -> embedding -> two layers."""
    return nn.Sequential(nn.Embedding(count, dim), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim))


class TwoTower(Scored):
    """Whoever was not there in training gets what is popular, since all that it knows of a user is the id."""

    def __init__(
        self, seed: int, dim: int = 64, learning_rate: float = 0.001, epochs: int = 10, batch_size: int = 1024
    ) -> None:
        self.seed, self.dim, self.learning_rate, self.epochs = seed, dim, learning_rate, epochs
        self.batch_size = batch_size
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def learn(self, rows: Rows) -> None:
        torch.manual_seed(self.seed)
        users, items = tower(rows.num_users, self.dim).to(self.device), tower(rows.num_items, self.dim).to(self.device)
        optimiser = torch.optim.Adam([*users.parameters(), *items.parameters()], self.learning_rate)
        user_I, item_I = (torch.from_numpy(ids).to(self.device) for ids in (rows.user_I, rows.item_I))
        for _ in range(self.epochs):
            for chosen in torch.split(torch.randperm(len(user_I), device=self.device), self.batch_size):
                scores_BB: Tensor = users(user_I[chosen]) @ items(item_I[chosen]).T
                loss = functional.cross_entropy(scores_BB, torch.arange(len(chosen), device=self.device))
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch declares backward without types
                optimiser.step()
        with torch.inference_mode():
            self._users_UD = users(torch.arange(rows.num_users, device=self.device)).cpu().numpy()
            self._items_ND = items(torch.arange(rows.num_items, device=self.device)).cpu().numpy()
        self._known_U = np.bincount(rows.user_I, minlength=rows.num_users) > 0

    def scores(self, at: Ints) -> NDArray[np.float32]:
        user_Q = self.rows.user_Q[at]
        scores_QN = self._users_UD[user_Q] @ self._items_ND.T
        scores_QN[~self._known_U[user_Q]] = self.rows.popularity
        return np.asarray(scores_QN, np.float32)
