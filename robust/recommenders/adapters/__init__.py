"""Models that people already have, as recommenders: one adapter for each form that a model comes in.

A SPEC that ends in `.yaml` names a file whose key `adapter` says which (docs/your-model.md). What an adapter needs
beyond the base installation is an extra of the same name, and is imported only when that adapter is opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from robust.recommenders.adapters.base import ADAPTERS, Adapter, open_adapter, read_adapter

if TYPE_CHECKING:
    from robust.recommenders.adapters.torch_module import TorchModel

__all__ = ["ADAPTERS", "Adapter", "TorchModel", "open_adapter", "read_adapter"]


def __getattr__(name: str) -> Any:
    """`TorchModel`, imported when it is asked for, since torch takes a second."""
    if name == "TorchModel":
        from robust.recommenders.adapters.torch_module import TorchModel

        return TorchModel
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
