"""A torch `nn.Module` of any signature, with gradients through the place where it looks its items up.

The place is found by running the module and looking which `nn.Embedding`, or else which parameter, is given the
sequence's numbers. Gradients reach the sequence because perturbed embeddings are put in the place of what is found
there.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from robust.errors import InputError, ModelFault, UnknownName
from robust.log import SequenceBatch
from robust.recommenders.adapters.base import Adapter, inside
from robust.recommenders.adapters.embedding_layer import Lookup, find_lookup, why_none
from robust.recommenders.adapters.mapped import MappedModel
from robust.recommenders.adapters.mapping import Arranged, SequenceMapping, positional
from robust.recommenders.adapters.weights import load_weights
from robust.recommenders.answers import asked
from robust.recommenders.resolve import called, imported
from robust.recommenders.settings import parse


class CalledMapping(SequenceMapping):
    """What connects something that torch calls.

    Attributes:
        method: what is called.
        table: where it returns states [B, D] or [B, L, D] in the place of scores, the dotted name of the embedding or
            parameter [V, D] by whose rows they are multiplied, or of a method without arguments that returns it.
        time_first: whether the sequence is taken as [L, B], and with it what `extra` derives from it but
            `padding-mask`, which torch's attention takes as [B, L] in any case. Scores of all steps are [L, B, V] then.
    """

    method: str = "forward"
    table: str | None = None
    time_first: bool = False


class TorchMapping(CalledMapping):
    """What connects a torch module.

    Attributes:
        embedding: the dotted name of the layer, or parameter, that embeds the items; `auto` finds it, `none` offers no
            gradients.
    """

    embedding: str = "auto"


class CalledModule(MappedModel):
    """A module that is called with tensors; it stays on its device, in evaluation mode."""

    def __init__(self, module: nn.Module, mapping: CalledMapping, folder: Path) -> None:
        super().__init__(mapping, folder)
        self.module, self.method, self._table_name = module.eval(), mapping.method, mapping.table
        self._time_first = mapping.time_first
        if not callable(getattr(module, self.method, None)):
            raise InputError(f"method: {type(module).__name__} has no '{self.method}'.")
        first = next(iter([*module.parameters(), *module.buffers()]), torch.zeros(0))
        self._device = first.device
        self._connect()

    def _ask(self, arranged: Arranged) -> Any:
        with torch.no_grad():
            return self._call(arranged)

    def _call(self, arranged: Arranged) -> Any:
        values: dict[str | int, Any] = {self._mapping.sequence: self._laid_out(arranged.numbers)}
        for name, value in self._mapping.extra.items():
            extra = arranged.extra(value)
            values[name] = extra if value == "padding-mask" else self._laid_out(extra)
        on_device = {name: self._tensor(value) for name, value in values.items()}
        args, kwargs = positional(on_device)
        if self.module.training:
            self.module.eval()
        # __call__ and not forward, so that the module's own hooks run
        call = self.module if self.method == "forward" else getattr(self.module, self.method)
        return asked(self.module, self.method, lambda: call(*args, **kwargs))

    def _laid_out(self, value: Any) -> Any:
        """[L, B] from [B, L] where the module takes it so; anything else as it is."""
        turned = self._time_first and isinstance(value, np.ndarray) and value.ndim == 2
        return np.ascontiguousarray(value.T) if turned else value

    def _located(self, answer: Any) -> Any:
        found = super()._located(answer)
        return found.transpose(0, 1) if self._time_first and getattr(found, "ndim", 0) == 3 else found

    def _scores(self, answer: Any, arranged: Arranged) -> Any:
        found = super()._scores(answer, arranged)
        if self._table_name is None:
            return found
        table = self._output_table(self._table_name)
        if table.ndim != 2 or table.shape[1] != found.shape[1]:
            raise InputError(
                f"table: '{self._table_name}' has the shape {tuple(table.shape)}, expected [V, {found.shape[1]}], "
                "as wide as the states."
            )
        return found @ table.T

    def _output_table(self, name: str) -> Tensor:
        table: Any = self.module
        for part in name.split("."):
            table = getattr(table, part, None)
        table = getattr(table, "weight", table)
        if inspect.ismethod(table):
            with torch.no_grad():
                table = asked(self.module, name, table)
        if not isinstance(table, Tensor):
            raise UnknownName("table (an embedding, parameter or method)", name, dict(self.module.named_parameters()))
        return table.detach()

    def _tensor(self, value: Any) -> Any:
        return torch.from_numpy(value).to(self._device) if isinstance(value, np.ndarray) else value


class TorchModel(CalledModule):
    """A torch module as a recommender that scores and, where its embedding is found, gives gradients."""

    def __init__(
        self,
        module: nn.Module,
        *,
        sequence: str | int = 0,
        extra: Mapping[str, Any] | None = None,
        padding: Mapping[str, Any] | None = None,
        ids: Mapping[str, Any] | None = None,
        output: Mapping[str, Any] | None = None,
        n_items: int | None = None,
        method: str = "forward",
        table: str | None = None,
        time_first: bool = False,
        embedding: str = "auto",
        folder: Path = Path(),
    ) -> None:
        """Connect a module; the keywords are the keys of `SequenceMapping` and `TorchMapping`, as in a YAML file.

        Args:
            folder: where `ids: {"vocabulary": file}` is looked for.

        Raises:
            InputError: no module; an unknown or invalid key; an answer of another form than the keys say.
        """
        if not isinstance(module, nn.Module):
            raise InputError(f"Expected a torch.nn.Module, got {type(module).__name__}.")
        given = {"sequence": sequence, "extra": extra, "padding": padding, "ids": ids, "output": output}
        given |= {
            "n_items": n_items,
            "method": method,
            "table": table,
            "time_first": time_first,
            "embedding": embedding,
        }
        mapping = parse(TorchMapping, "TorchModel", {name: value for name, value in given.items() if value is not None})
        super().__init__(module, mapping, folder)
        self._lookup = self._found(embedding)
        self.gradients = "" if self._lookup is None else f"through {self._lookup.name}"

    def __repr__(self) -> str:
        gradients = self.gradients or f"none: {self.no_gradients}"
        return f"TorchModel({type(self.module).__name__}, {self.n_items} items, gradients: {gradients})"

    def _found(self, embedding: str) -> Lookup | None:
        if embedding == "none":
            self.no_gradients = "the mapping says 'embedding: none'"
            return None
        rows = np.array([[0, 3, 1, 2], [0, 0, 1, 2], [0, 2, 1, 3], [0, 0, 1, 3]])
        probe = self._arrange(SequenceBatch(np.where(rows > 0, (rows - 1) % self.n_items + 1, 0)))
        lookup = find_lookup(self.module, embedding, probe, lambda: self._ask(probe))
        if lookup is None and embedding != "auto":
            raise InputError(f"embedding: '{embedding}' doesn't receive the sequence's numbers in a forward pass.")
        self.no_gradients = why_none(self.module) if lookup is None else ""
        return lookup

    # --- gradients

    @property
    def item_embeddings(self) -> Tensor:
        """[n_items + 1, D], what each item is embedded as, detached; row 0 is zeros.

        Raises:
            AttributeError: no embedding was found, so there is no such thing.
        """
        if self._lookup is None:
            raise AttributeError(f"no gradients: {self.no_gradients}")
        with torch.no_grad():
            return F.pad(self._lookup.embed(torch.from_numpy(self._table[1:]).to(self._device)), (0, 0, 1, 0))

    def embed(self, sequences: SequenceBatch) -> Tensor:
        """[B, L, D], what the items are embedded as; zero rows at padding.

        Raises:
            ModelFault: no embedding was found.
        """
        items = torch.from_numpy(self._table[sequences.items]).to(self._device)
        filled = torch.from_numpy(sequences.items > 0).to(self._device)
        # padding need not be a number that the table has
        embedded = self._known_lookup().embed(torch.where(filled, items, int(self._table[1])))
        return embedded * filled.unsqueeze(-1)

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        """[B, n_items + 1] from embeddings [B, L, D], padded as `sequences`; column 0 is −inf.

        Raises:
            ModelFault: no embedding was found, or it wasn't given these numbers this time.
        """
        arranged = self._arrange(sequences)
        columns = torch.from_numpy(arranged.columns).to(embeddings.device).unsqueeze(-1)
        moved = embeddings.gather(1, columns.expand(-1, -1, embeddings.shape[-1]))
        # cuDNN's recurrent layers go backwards in training mode only
        with self._known_lookup().replaced(moved, arranged), torch.backends.cudnn.flags(enabled=False):
            answer = self._call(arranged)
        scores = self._scores(answer, arranged)[:, torch.from_numpy(self._columns).to(self._device)]
        empty = torch.from_numpy(arranged.lengths == 0).to(scores.device).unsqueeze(1)
        scores = torch.where(empty & scores.isnan(), 0.0, scores)
        return F.pad(scores.float(), (1, 0), value=float("-inf"))

    def _known_lookup(self) -> Lookup:
        if self._lookup is None:
            raise ModelFault(f"{type(self.module).__name__} gives no gradients: {self.no_gradients}.")
        return self._lookup


class TorchAdapter(TorchMapping, Adapter):
    """`adapter: torch`.

    Attributes:
        model: `package.module:attribute`, a class, a factory or an instance; looked for beside the description too.
        arguments: what a class or a factory is called with.
        weights: a safetensors file; anything else is read as a pickle, with `--trust-pickle` only.
        device: where it runs.
    """

    model: str
    arguments: dict[str, Any] = Field(default_factory=dict)
    weights: str | None = None
    device: str = "cpu"

    def open(self, folder: Path) -> TorchModel:
        """The module, made and filled.

        Raises:
            InputError: it cannot be imported or made, or its weights don't fit or aren't trusted.
        """
        weights = None if self.weights is None else inside(folder, self.weights)
        made = imported(self.model, folder)
        if not isinstance(made, nn.Module):
            made = called(self.model, made, self.arguments, folder) if callable(made) else made
        elif self.arguments:
            raise InputError(f"model '{self.model}' is an instance, so it takes no arguments.")
        if not isinstance(made, nn.Module):
            raise InputError(f"model '{self.model}' gave a {type(made).__name__}, expected a torch.nn.Module.")
        if weights is not None:
            load_weights(made, weights)
        try:
            made.to(self.device)
        except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
            raise InputError(f"device '{self.device}': {str(error).splitlines()[0]}") from error
        keys = self.model_dump(include=set(TorchMapping.model_fields))
        return TorchModel(made.requires_grad_(False), **keys, folder=folder)
