"""Copies arrays to the device of the model."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(device: torch.device, array: NDArray[Any] | Tensor) -> Tensor:
    """The array as a tensor on the device.

    A GPU copies it asynchronously from pinned memory: with a plain copy, this thread would wait for all queued work at
    each of the step's arrays.
    """
    tensor = torch.as_tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
