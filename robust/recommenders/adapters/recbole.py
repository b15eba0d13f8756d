"""RecBole's sequential models: a live object, a checkpoint, or a name, to be fitted by RecBole's own trainer.

RecBole (Zhao et al., CIKM 2021) pads at the right, takes the state at `length - 1`, counts its padding column among
the items, and numbers the items by the order in which it met them. All of this is translated here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, model_validator

from robust.errors import InputError, ModelFault
from robust.log import Int64, InteractionLog, SequenceBatch
from robust.recommenders.adapters.base import Adapter, inside, require_trust
from robust.recommenders.adapters.recbole_training import contained, fitted_network, library, load_checkpoint
from robust.recommenders.adapters.tokens import order_of
from robust.recommenders.protocols import Capability, Float32

ROWS, PAIRS = 1024, 1 << 18
"""Sequences asked at once, and (sequence, item) pairs where a model scores one item at a time."""


class RecBoleAdapter(Adapter):
    """A checkpoint, or a model's name for one that is to be fitted.

    Attributes:
        checkpoint: what RecBole's trainer saved. It is a pickle: refused without `--trust-pickle`.
        data: the folder that holds the folder of atomic files that it was trained on, as `data_path` in RecBole: a
            checkpoint doesn't hold the items' ids. By default, where its configuration says.
        items: a file that lists raw ids in the order of the log's numbers, the same as is given to `--vocabulary`. By
            default the model's own ids, sorted as a log's are.
        model: a model's name in RecBole, such as SASRec, which is then fitted to the log under review.
        settings: RecBole's parameters for it.
        early_stopping: whether a fit holds out every user's last row, as RecBole does by default, to stop early and
            keep the best epoch; otherwise it learns from all rows for all `epochs`.
    """

    checkpoint: str | None = None
    data: str | None = None
    items: str | None = None
    model: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    early_stopping: bool = True

    @model_validator(mode="after")
    def _one_of_two(self) -> RecBoleAdapter:
        if (self.checkpoint is None) == (self.model is None):
            raise ValueError("give either 'checkpoint' (a trained model) or 'model' (a name, to be fitted)")
        if self.checkpoint is not None and self.settings:
            raise ValueError("a checkpoint brings its own settings; leave 'settings' out")
        if self.model is not None and (self.data or self.items):
            raise ValueError("a model that is to be fitted takes its items from the log; leave 'data' and 'items' out")
        return self

    @property
    def runs_code(self) -> str:
        """A checkpoint may."""
        return "a RecBole checkpoint is a pickle" if self.checkpoint else ""

    def open(self, folder: Path) -> RecBoleModel:
        """The model, fitted or not.

        Raises:
            InputError: RecBole is not installed, knows no such model, or the checkpoint cannot be used.
        """
        library()
        if self.checkpoint is None:
            return RecBoleModel.named(str(self.model), self.settings, early_stopping=self.early_stopping)
        file = inside(folder, self.checkpoint)
        require_trust(file, self.runs_code)
        data = None if self.data is None else inside(folder, self.data)
        network, config, dataset = load_checkpoint(file, data)
        vocabulary = None if self.items is None else inside(folder, self.items)
        return RecBoleModel.live(network, dataset, config, items=vocabulary, early_stopping=self.early_stopping)


class RecBoleModel:
    """A sequential model of RecBole behind our interface; scores only."""

    gradients = ""

    def __init__(
        self, network: Any, config: Any, own: Int64, item_ids: Any = None, *, early_stopping: bool = True
    ) -> None:
        """Use `live` or `named`.

        Args:
            network: RecBole's model, or None before the first fit.
            config: RecBole's configuration.
            own: int64 [n_items + 1], RecBole's number of each of our items; entry 0 is 0.
            item_ids: the items' raw ids in our order.
        """
        self.network, self.config, self.own, self.item_ids = network, config, own, item_ids
        self.early_stopping, self.n_items = early_stopping, len(own) - 1
        self.context = int(config["MAX_ITEM_LIST_LENGTH"])
        # a string, since a model's fingerprint is made from its plain attributes
        chosen = sorted((name, repr(value)) for name, value in config.final_config_dict.items())
        self.description = repr([pair for pair in chosen if " at 0x" not in pair[1]])

    @property
    def lacks(self) -> dict[Capability, str]:
        """Why there are no gradients, where there are none."""
        reason = f"RecBole's {self.config['model']} does not look up the sequence that it is given in an item_embedding"
        return {} if self.gradients else {"gradients": reason}

    @classmethod
    def live(
        cls, model: Any, dataset: Any, config: Any, *, items: str | Path | None = None, early_stopping: bool = True
    ) -> RecBoleModel:
        """A model that is in memory, with the dataset and configuration that it was made from.

        Raises:
            InputError: not a sequential model, or `items` and its own catalogue differ.
        """
        if not hasattr(model, "ITEM_SEQ"):
            raise InputError(f"RecBole's {type(model).__name__} is not a sequential model, so it reads no sequences.")
        field = config["ITEM_ID_FIELD"]
        tokens = np.asarray(dataset.field2id_token[field])[1:].astype(np.str_)
        item_ids, places = order_of(tokens, None if items is None else Path(items))
        own = np.concatenate([[0], places + 1])
        model.eval()
        from robust.recommenders.adapters.recbole_gradients import DifferentiableRecBoleModel, embeds

        if embeds(model):
            able = DifferentiableRecBoleModel(model, config, own, item_ids, early_stopping=early_stopping)
            if able.agrees():
                return able
        return RecBoleModel(model, config, own, item_ids, early_stopping=early_stopping)

    @classmethod
    def named(cls, name: str, settings: dict[str, Any] | None = None, *, early_stopping: bool = True) -> RecBoleModel:
        """A model that has yet to be fitted. It is built once on a toy log, which tells what it offers.

        Raises:
            InputError: RecBole has no such model, it is not sequential, or it does not take these settings.
        """
        from robust.recommenders.adapters.recbole_training import made_on_toy

        network, config, dataset = made_on_toy(name, dict(settings or {}))
        kind = type(cls.live(network, dataset, config))
        return kind(None, config, np.zeros(1, np.int64), early_stopping=early_stopping)

    def fit(self, log: InteractionLog, *, seed: int) -> RecBoleModel:
        """A new model of the same configuration, trained by RecBole's trainer. Its filters of the log are not applied.

        Raises:
            ModelFault: RecBole's training failed.
        """
        network, config, dataset = fitted_network(self.config, log, seed, early_stopping=self.early_stopping)
        field = config["ITEM_ID_FIELD"]
        own = dataset.token2id(field, np.arange(1, log.n_items + 1).astype(np.str_))
        kind = type(self)
        return kind(network, config, np.concatenate([[0], own]), log.item_ids, early_stopping=self.early_stopping)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], column 0 −inf. RecBole can't read an empty sequence: there all items score 0."""
        import torch

        scores = np.zeros((len(sequences), self.n_items + 1), dtype=np.float32)
        with contained(), torch.inference_mode():
            filled = np.flatnonzero(sequences.lengths)
            for start in range(0, len(filled), ROWS):
                rows = filled[start : start + ROWS]
                scores[rows] = self._asked(self.padded(sequences[rows])).numpy()
        scores[:, 0] = -np.inf
        return scores

    def padded(self, sequences: SequenceBatch) -> tuple[Any, Any]:
        """RecBole's numbers int64 [B, context], padded at the right, and int64 [B] lengths; as tensors."""
        import torch

        newest = sequences.truncate(self.context).items
        items = np.zeros((len(newest), self.context), dtype=np.int64)
        order = np.argsort(newest == 0, axis=1, kind="stable")  # padding goes to the end, the rest keeps its order
        items[:, : newest.shape[1]] = self.own[np.take_along_axis(newest, order, axis=1)]
        return torch.from_numpy(items), torch.from_numpy(np.count_nonzero(items, axis=1))

    def _asked(self, read: tuple[Any, Any]) -> Any:
        """[B, n_items + 1] in our order, on the CPU; column 0 is not meant."""
        import torch

        network, (items, lengths) = self._fitted(), read
        device = next(network.parameters()).device
        interaction = library("data.interaction").Interaction(
            {network.ITEM_SEQ: items.to(device), network.ITEM_SEQ_LEN: lengths.to(device)}
        )
        try:
            try:
                scores = network.full_sort_predict(interaction)
            except NotImplementedError:
                scores = self._one_by_one(interaction)
        except KeyError as error:
            raise ModelFault(
                f"RecBole's {type(network).__name__} reads the field {error}, which a sequence of items does not have: "
                "such a model cannot be reviewed by sequences alone."
            ) from error
        return scores.reshape(len(items), -1)[:, torch.from_numpy(self.own).to(device)].cpu().float()

    def _one_by_one(self, interaction: Any) -> Any:
        import torch

        network = self._fitted()
        rows, n_own = len(interaction), int(network.n_items)
        parts = []
        for start in range(0, rows, step := max(PAIRS // n_own, 1)):
            part = interaction[start : start + step].repeat_interleave(n_own)
            part.update(library("data.interaction").Interaction({network.ITEM_ID: _every(n_own, len(part), part)}))
            parts.append(network.predict(part).reshape(-1, n_own))
        return torch.cat(parts)

    def _fitted(self) -> Any:
        if self.network is None:
            raise ModelFault("This RecBole model is not fitted yet: call fit(log, seed=…).")
        return self.network


def _every(n_own: int, pairs: int, like: Any) -> Any:
    import torch

    device = next(iter(like.interaction.values())).device
    return torch.arange(n_own, device=device).repeat(pairs // n_own)
