"""A torch `nn.Module` of any signature, with gradients through its embedding layer.

The layer is found by running the module and looking which `nn.Embedding` receives the sequence's numbers. Gradients
reach the sequence through a forward hook that puts the perturbed embeddings in the place of that layer's output.
"""

from __future__ import annotations

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
from robust.recommenders.adapters.embedding_layer import EmbeddingLayer, find_layer
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
            parameter [V, D] by whose rows they are multiplied.
    """

    method: str = "forward"
    table: str | None = None


class TorchMapping(CalledMapping):
    """What connects a torch module.

    Attributes:
        embedding: the dotted name of the layer that embeds the items; `auto` finds it, `none` offers no gradients.
    """

    embedding: str = "auto"


class CalledModule(MappedModel):
    """A module that is called with tensors; it stays on its device, in evaluation mode."""

    def __init__(self, module: nn.Module, mapping: CalledMapping, folder: Path) -> None:
        super().__init__(mapping, folder)
        self.module, self.method, self._table_name = module.eval(), mapping.method, mapping.table
        if not callable(getattr(module, self.method, None)):
            raise InputError(f"method: {type(module).__name__} has no '{self.method}'.")
        first = next(iter([*module.parameters(), *module.buffers()]), torch.zeros(0))
        self._device = first.device
        self._connect()

    def _ask(self, arranged: Arranged) -> Any:
        with torch.no_grad():
            return self._call(arranged)

    def _call(self, arranged: Arranged) -> Any:
        values: dict[str | int, Any] = {self._mapping.sequence: arranged.numbers}
        values |= {name: arranged.extra(value) for name, value in self._mapping.extra.items()}
        on_device = {name: self._tensor(value) for name, value in values.items()}
        args, kwargs = positional(on_device)
        if self.module.training:
            self.module.eval()
        # __call__ and not forward, so that the module's own hooks run
        call = self.module if self.method == "forward" else getattr(self.module, self.method)
        return asked(self.module, self.method, lambda: call(*args, **kwargs))

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
        if not isinstance(table, Tensor):
            raise UnknownName("table (an embedding or parameter)", name, dict(self.module.named_parameters()))
        return table.detach()

    def _tensor(self, value: Any) -> Any:
        return torch.from_numpy(value).to(self._device) if isinstance(value, np.ndarray) else value


class TorchModel(CalledModule):
    """A torch module as a recommender that scores and, where its embedding layer is found, gives gradients.

    Attributes:
        gradients: the layer through which gradients go, or why there are none.
    """

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
        given |= {"n_items": n_items, "method": method, "table": table, "embedding": embedding}
        mapping = parse(TorchMapping, "TorchModel", {name: value for name, value in given.items() if value is not None})
        super().__init__(module, mapping, folder)
        self._layer, self.gradients = self._found(embedding)

    def __repr__(self) -> str:
        return f"TorchModel({type(self.module).__name__}, {self.n_items} items, gradients: {self.gradients})"

    def _found(self, embedding: str) -> tuple[EmbeddingLayer | None, str]:
        if embedding == "none":
            return None, "none: the mapping says 'embedding: none'"
        rows = np.array([[0, 3, 1, 2], [0, 0, 1, 2], [0, 2, 1, 3], [0, 0, 1, 3]])
        probe = self._arrange(SequenceBatch(np.where(rows > 0, (rows - 1) % self.n_items + 1, 0)))
        layer = find_layer(self.module, embedding, probe, lambda: self._ask(probe))
        if layer is not None:
            return layer, f"through {layer.name}"
        if embedding != "auto":
            raise InputError(f"embedding: '{embedding}' doesn't receive the sequence's numbers in a forward pass.")
        return None, "none: no nn.Embedding receives the sequence's numbers; name the layer with 'embedding'"

    # --- gradients

    @property
    def item_embeddings(self) -> Tensor:
        """[n_items + 1, D], what the layer makes of each item, detached; row 0 is zeros.

        Raises:
            AttributeError: no layer was found, so there is no such thing.
        """
        if self._layer is None:
            raise AttributeError(f"gradients: {self.gradients}")
        with torch.no_grad():
            return F.pad(self._layer.embed(torch.from_numpy(self._table[1:]).to(self._device)), (0, 0, 1, 0))

    def embed(self, sequences: SequenceBatch) -> Tensor:
        """[B, L, D], what the layer makes of the items; zero rows at padding.

        Raises:
            ModelFault: no layer was found.
        """
        items = torch.from_numpy(self._table[sequences.items]).to(self._device)
        filled = torch.from_numpy(sequences.items > 0).to(self._device)
        # padding need not be a number that the layer knows
        embedded = self._known_layer().embed(torch.where(filled, items, int(self._table[1])))
        return embedded * filled.unsqueeze(-1)

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        """[B, n_items + 1] from embeddings [B, L, D], padded as `sequences`; column 0 is −inf.

        Raises:
            ModelFault: no layer was found, or it wasn't called with these numbers this time.
        """
        arranged = self._arrange(sequences)
        columns = torch.from_numpy(arranged.columns).to(embeddings.device).unsqueeze(-1)
        moved = embeddings.gather(1, columns.expand(-1, -1, embeddings.shape[-1]))
        # cuDNN's recurrent layers go backwards in training mode only
        with self._known_layer().replaced(moved, arranged), torch.backends.cudnn.flags(enabled=False):
            answer = self._call(arranged)
        scores = self._scores(answer, arranged)[:, torch.from_numpy(self._columns).to(self._device)]
        empty = torch.from_numpy(arranged.lengths == 0).to(scores.device).unsqueeze(1)
        scores = torch.where(empty & scores.isnan(), 0.0, scores)
        return F.pad(scores.float(), (1, 0), value=float("-inf"))

    def _known_layer(self) -> EmbeddingLayer:
        if self._layer is None:
            raise ModelFault(f"{type(self.module).__name__} gives no gradients: {self.gradients}.")
        return self._layer


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
