"""Where a torch module looks the sequence's items up: finding it, and standing in for what it finds there.

Most have an `nn.Embedding`, whose output a forward hook replaces. Others look rows up in a parameter themselves
(`F.embedding(seq, weight)`, `weight[seq]`), which a function mode of torch sees.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from robust.errors import ModelFault, UnknownName
from robust.recommenders.adapters.mapping import Arranged

Put = Callable[[Any, Tensor], Tensor | None]
"""From the numbers that were looked up, and what was found, to what stands in for it; None leaves it as it is."""


@dataclass(frozen=True)
class Lookup:
    """Where the sequence's numbers become vectors.

    Attributes:
        shift: what the module itself adds to the numbers before it looks them up.
        transposed: whether the numbers come as [W, B].
    """

    name: str
    shift: int
    transposed: bool

    @abstractmethod
    def embed(self, numbers: Tensor) -> Tensor:
        """[..., D] of item numbers [...]."""

    @abstractmethod
    def _watched(self, put: Put) -> Any:
        """A context in which `put` sees every lookup here."""

    @contextmanager
    def replaced(self, embeddings: Tensor, arranged: Arranged) -> Iterator[None]:
        """Meanwhile `embeddings` [B, W, D] are found at the items of these rows; padding stays the module's own.

        Other lookups in the same place (candidates, the whole catalogue) stay as they are.

        Raises:
            ModelFault: at the end, if these rows were never looked up.
        """
        filled = torch.from_numpy(arranged.filled.copy()).to(embeddings.device).unsqueeze(-1)
        count = 0

        def put(numbers: Any, output: Tensor) -> Tensor | None:
            nonlocal count
            if _relation(numbers, arranged) != (self.shift, self.transposed):
                return None
            count += 1
            if self.transposed:
                return torch.where(filled.transpose(0, 1), embeddings.transpose(0, 1).to(output.dtype), output)
            return torch.where(filled, embeddings.to(output.dtype), output)

        with self._watched(put):
            yield
        if count == 0 and arranged.filled.any():
            raise ModelFault(f"The embedding '{self.name}' wasn't given the sequence's numbers in this pass.")


@dataclass(frozen=True)
class EmbeddingLayer(Lookup):
    """An `nn.Embedding`, or another layer that is given the numbers."""

    layer: nn.Module

    def embed(self, numbers: Tensor) -> Tensor:
        """[..., D] of item numbers [...]."""
        embedded: Tensor = self.layer(numbers + self.shift)
        return embedded

    @contextmanager
    def _watched(self, put: Put) -> Iterator[None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor | None:
            return put(_input(args, kwargs), output)

        handle = self.layer.register_forward_hook(hook, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()


@dataclass(frozen=True)
class TableLookup(Lookup):
    """A parameter or buffer [V, D] whose rows the module looks up without a layer."""

    table: Tensor

    def embed(self, numbers: Tensor) -> Tensor:
        """[..., D] of item numbers [...]."""
        return F.embedding(numbers + self.shift, self.table)

    def _watched(self, put: Put) -> _Lookups:
        return _Lookups(lambda table, numbers, output: put(numbers, output) if table is self.table else None)


class _Lookups(TorchFunctionMode):
    """Meanwhile every lookup of a tensor's rows goes through `seen`: (table, numbers, output) → what stands in."""

    def __init__(self, seen: Callable[[Any, Any, Tensor], Tensor | None]) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if func is F.embedding:
            named = {**dict(zip(("input", "weight"), args, strict=False)), **(kwargs or {})}
            numbers, table = named["input"], named["weight"]
        elif func is Tensor.__getitem__:
            table, numbers = args
        else:
            return output
        instead = self._seen(table, numbers, output)
        return output if instead is None else instead


def find_lookup(module: nn.Module, wanted: str, probe: Arranged, run: Callable[[], Any]) -> Lookup | None:
    """Where the probe's numbers, perhaps shifted or transposed, are looked up while `run` is called.

    Args:
        wanted: a layer's or parameter's dotted name; `auto` takes the first `nn.Embedding` that is given them, or else
            the first parameter or buffer in which they are looked up.

    Raises:
        UnknownName: no such layer or parameter.
    """
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Embedding)}
    tables = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if wanted != "auto":
        named = dict(module.named_modules())
        if wanted not in named and wanted not in tables:
            raise UnknownName(f"embedding layer in {type(module).__name__}", wanted, layers or tables)
        layers = {wanted: named[wanted]} if wanted in named else {}
        tables = {wanted: tables[wanted]} if wanted in tables else {}
    found: list[Lookup] = []
    indexed: list[Lookup] = []
    names = {id(table): name for name, table in tables.items()}

    def look_up(table: Any, numbers: Any, _: Tensor) -> None:
        relation = _relation(numbers, probe) if id(table) in names and table.ndim == 2 else None
        if relation is not None:
            indexed.append(TableLookup(names[id(table)], *relation, table))

    with ExitStack() as watched:
        for name, layer in layers.items():

            def look(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], *, name: str = name) -> None:
                relation = _relation(_input(args, kwargs), probe)
                if relation is not None:
                    found.append(EmbeddingLayer(name, *relation, layers[name]))

            watched.callback(layer.register_forward_pre_hook(look, with_kwargs=True).remove)
        watched.enter_context(_Lookups(look_up))
        run()
    return next(iter(found + indexed), None)


def why_none(module: nn.Module) -> str:
    """What is to be said where no lookup was found."""
    layers = [name for name, layer in module.named_modules() if isinstance(layer, nn.Embedding)]
    if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
        return "part of the module is TorchScript, inside of which nothing can be replaced"
    if layers:
        return (
            f"no nn.Embedding ({', '.join(layers[:5])}) receives the sequence's numbers as they stand, and in no "
            "parameter are they looked up; if a layer of another kind does, name it with 'embedding'"
        )
    bags = [name for name, layer in module.named_modules() if isinstance(layer, nn.EmbeddingBag)]
    inside = f"{bags[0]} is an nn.EmbeddingBag, which sums before anything can be replaced" if bags else ""
    return inside or (
        "no nn.Embedding receives the sequence's numbers (there is none), and in no parameter are they looked up; if a "
        "layer of another kind does, name it with 'embedding'"
    )


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
