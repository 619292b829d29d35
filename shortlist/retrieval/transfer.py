"""Arrays to where the model is."""

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_device(device: torch.device, array: NDArray[Any] | Tensor) -> Tensor:
    """The array as a tensor on the device.

    A GPU copies it from pinned memory in its own time: a plain copy would make this thread wait for all that was
    queued before, at each of the step's arrays.
    """
    tensor = torch.as_tensor(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
