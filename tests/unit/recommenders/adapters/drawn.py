"""Weights that do not depend on torch's global generator."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def drawn(module: Module, seed: int, scale: float = 1.0) -> Module:
    """The module, its parameters drawn anew from a normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(0, scale, generator=generator)
    return module
