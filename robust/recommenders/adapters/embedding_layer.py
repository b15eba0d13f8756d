"""The layer of a torch module that embeds the sequence: finding it, and standing in for its output."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust.errors import ModelFault, UnknownName
from robust.recommenders.adapters.mapping import Arranged


@dataclass(frozen=True)
class EmbeddingLayer:
    """Where the sequence's numbers become vectors.

    Attributes:
        shift: what the module itself adds to the numbers before it looks them up.
        transposed: whether the layer is given [W, B].
    """

    name: str
    layer: nn.Module
    shift: int
    transposed: bool

    def embed(self, numbers: Tensor) -> Tensor:
        """[..., D] of item numbers [...]."""
        embedded: Tensor = self.layer(numbers + self.shift)
        return embedded

    @contextmanager
    def replaced(self, embeddings: Tensor, arranged: Arranged) -> Iterator[None]:
        """Meanwhile the layer's output is `embeddings` [B, W, D] at the items of these rows; padding stays the layer's.

        Other lookups in the same layer (candidates, the whole catalogue) stay as they are.

        Raises:
            ModelFault: at the end, if the layer never saw these rows.
        """
        filled = torch.from_numpy(arranged.filled.copy()).to(embeddings.device).unsqueeze(-1)
        put = 0

        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor | None:
            nonlocal put
            if _relation(_input(args, kwargs), arranged) != (self.shift, self.transposed):
                return None
            put += 1
            if self.transposed:
                return torch.where(filled.transpose(0, 1), embeddings.transpose(0, 1).to(output.dtype), output)
            return torch.where(filled, embeddings.to(output.dtype), output)

        handle = self.layer.register_forward_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        if put == 0 and arranged.filled.any():
            raise ModelFault(f"The embedding layer '{self.name}' wasn't given the sequence's numbers in this pass.")


def find_layer(module: nn.Module, wanted: str, probe: Arranged, run: Callable[[], Any]) -> EmbeddingLayer | None:
    """The layer that receives the probe's numbers, perhaps shifted or transposed, while `run` is called.

    Args:
        wanted: a dotted name; `auto` looks at every nn.Embedding and takes the first that was called.

    Raises:
        UnknownName: no such submodule.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Embedding)}
    if wanted != "auto":
        named = dict(module.named_modules())
        if wanted not in named:
            raise UnknownName(f"embedding layer in {type(module).__name__}", wanted, layers)
        layers = {wanted: named[wanted]}
    found: list[EmbeddingLayer] = []
    with ExitStack() as hooks:
        for name, layer in layers.items():

            def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str = name) -> None:
                relation = _relation(_input(args, kwargs), probe)
                if relation is not None:
                    found.append(EmbeddingLayer(name, layers[name], *relation))

            hooks.callback(layer.register_forward_pre_hook(look, with_kwargs=True).remove)
        run()
    return found[0] if found else None


def _input(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0] if args else next(iter(kwargs.values()), None)


def _relation(given: Any, arranged: Arranged) -> tuple[int, bool] | None:
    """(shift, transposed) if these are the rows' numbers; None if they are something else."""
    if not isinstance(given, Tensor) or given.ndim != 2 or given.is_floating_point():
        return None
    for transposed in (False, True):
        numbers = given.detach().cpu().numpy()
        numbers = numbers.T if transposed else numbers
        if numbers.shape != arranged.numbers.shape:
            continue
        shifts = (numbers - arranged.numbers)[arranged.filled]
        if len(shifts) and (shifts == shifts[0]).all():
            return int(shifts[0]), transposed
    return None
