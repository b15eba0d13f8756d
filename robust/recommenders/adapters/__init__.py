"""Models that people already have, as recommenders: one adapter for each form that a model comes in.

A SPEC that ends in `.yaml` names a file whose key `adapter` says which (docs/your-model.md). What an adapter needs
beyond the base installation is an extra of the same name, and is imported only when that adapter is opened.
"""

from robust.recommenders.adapters.base import ADAPTERS, Adapter, open_adapter, read_adapter

__all__ = ["ADAPTERS", "Adapter", "open_adapter", "read_adapter"]
