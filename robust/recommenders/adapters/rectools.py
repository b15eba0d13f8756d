"""RecTools' transformers, SASRec and BERT4Rec: a live model, a saved one, or a name, to be fitted by RecTools itself.

RecTools (MTS, version 0.19) pads at the left; the numbers of its items come after those of its extra tokens, padding
and for BERT4Rec the mask, which is put behind the sequence. It knows only items of users with enough rows to be trained
on: the others it drops from a sequence, and never recommends.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator

from robust.errors import InputError, ModelFault
from robust.log import Int64, InteractionLog, SequenceBatch
from robust.recommenders.adapters.base import Adapter, inside, require, require_trust
from robust.recommenders.adapters.generators import restored
from robust.recommenders.adapters.tokens import order_of
from robust.recommenders.protocols import Float32

ROWS = 1024
"""Sequences asked at once."""

MASK = "MASK"


class RecToolsAdapter(Adapter):
    """A saved model, or a class for one that is to be fitted.

    Attributes:
        model: which class, without `Model` at its end. A file that `save` wrote knows its own.
        checkpoint: what `model.save(…)` or Lightning's `save_checkpoint` wrote. Both are pickles: refused without
            `--trust-pickle`.
        items: a file that lists the log's raw ids in the order of its numbers, the same as is given to `--vocabulary`;
            needed where the log has items that the model does not know. By default the model's own ids, sorted as a
            log's are.
        settings: parameters of the class, for a model that is to be fitted.
    """

    model: Literal["SASRec", "BERT4Rec"] = "SASRec"
    checkpoint: str | None = None
    items: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_two(self) -> RecToolsAdapter:
        if self.checkpoint is not None and self.settings:
            raise ValueError("a checkpoint brings its own settings; leave 'settings' out")
        if self.checkpoint is None and self.items:
            raise ValueError("a model that is to be fitted takes its items from the log; leave 'items' out")
        return self

    @property
    def runs_code(self) -> str:
        """A checkpoint may."""
        return "a saved RecTools model is a pickle" if self.checkpoint else ""

    def open(self, folder: Path) -> RecToolsModel:
        """The model, fitted or not.

        Raises:
            InputError: RecTools is not installed, refuses the settings, or the checkpoint cannot be used.
        """
        kind = getattr(require("rectools.models", "rectools"), f"{self.model}Model")
        if self.checkpoint is None:
            try:
                return RecToolsModel(kind(**self.settings))
            except (TypeError, ValueError) as error:
                raise InputError(f"RecTools' {self.model} does not take these settings: {error}.") from error
        file = inside(folder, self.checkpoint)
        require_trust(file, self.runs_code)
        with _contained():
            try:
                if file.read_bytes()[:2] == b"PK":  # a zip, as torch and so Lightning saves
                    loaded = kind.load_from_checkpoint(file, map_location="cpu")
                else:
                    loaded = require("rectools.models", "rectools").load_model(file)
            except Exception as error:  # a pickle may raise anything
                raise InputError(
                    f"'{file}' is no {self.model} of RecTools: {type(error).__name__}: {error}."
                ) from error
        return RecToolsModel.live(loaded, items=None if self.items is None else inside(folder, self.items))


class RecToolsModel:
    """A transformer of RecTools behind our interface."""

    def __init__(self, model: Any, own: Int64 | None = None, item_ids: Any = None) -> None:
        """Use `live` for a fitted model.

        Args:
            model: RecTools' model.
            own: int64 [n_items + 1], RecTools' number of each of our items, 0 where it does not know it; None before
                the first fit.
            item_ids: the items' raw ids in our order.
        """
        self.model, self.item_ids = model, item_ids
        self.own = np.zeros(1, np.int64) if own is None else own
        self.n_items = len(self.own) - 1
        self.masks = MASK in model.data_preparator.item_extra_tokens
        self.reads = int(model.data_preparator.session_max_len) - self.masks
        # with items to pass over, what lies further back is read as well, and no number holds
        self.context = self.reads if self.own[1:].all() else 0
        with _contained():  # RecTools warns of its own defaults
            # attributes, since a model's fingerprint is made from them
            self.description = repr(sorted(model.get_config(simple_types=True).items()))
        self.network = model.torch_model if self.n_items else None

    @classmethod
    def live(cls, model: Any, *, items: str | Path | None = None) -> RecToolsModel:
        """A fitted model that is in memory.

        Raises:
            InputError: it is not a transformer, not fitted, reads more than items, or `items` and its catalogue differ.
        """
        preparator = getattr(model, "data_preparator", None)
        if preparator is None:
            raise InputError(f"RecTools' {type(model).__name__} is none of its transformers, so it reads no sequences.")
        if getattr(preparator, "add_unix_ts", False) or getattr(preparator, "extra_cols", None):
            raise InputError(f"RecTools' {type(model).__name__} reads more than items, such as times, as configured.")
        if not model.is_fitted:
            return cls(model)
        known = preparator.get_known_item_ids()
        listing = None if items is None else Path(items)
        item_ids, places = order_of(np.asarray(known).astype(np.str_), listing, partial=True)
        numbers = np.append(preparator.get_known_items_sorted_internal_ids(), 0)  # place −1: not known
        return cls(model, np.concatenate([[0], numbers[places]]), item_ids)

    def __deepcopy__(self, memo: dict[int, Any]) -> RecToolsModel:
        """The same model: nothing here changes it, and copying one trains Lightning's loop for a moment."""
        return RecToolsModel(self.model, self.own if self.n_items else None, self.item_ids)

    def fit(self, log: InteractionLog, *, seed: int) -> RecToolsModel:
        """A new model of the same configuration, trained by RecTools.

        Raises:
            ModelFault: RecTools' training failed, or no user has rows enough.
        """
        import pandas as pd

        columns = require("rectools", "rectools").Columns
        rows = pd.DataFrame(
            {
                columns.User: log.user,
                columns.Item: log.item,
                columns.Weight: 1.0,
                # a row's place: RecTools reads only the order from it
                columns.Datetime: pd.Timestamp("2000-01-01") + pd.to_timedelta(log.position, unit="s"),
            }
        )
        with _contained(seed):
            try:
                fresh = type(self.model).from_config(self.model.get_config(simple_types=False))
                fresh.fit(require("rectools.dataset", "rectools").Dataset.construct(rows))
            except Exception as error:
                raise ModelFault(f"RecTools' training raised {type(error).__name__}: {error}") from error
        preparator = fresh.data_preparator
        own = np.zeros(log.n_items + 1, dtype=np.int64)
        own[preparator.get_known_item_ids().astype(np.int64)] = preparator.get_known_items_sorted_internal_ids()
        return RecToolsModel(fresh, own, log.item_ids)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], −inf at column 0 and unknown items; 0 where it knows no item of a sequence."""
        import torch

        scores = np.zeros((len(sequences), self.n_items + 1), dtype=np.float32)
        with _contained(), torch.inference_mode():
            table = self._table()
            numbers, _ = self.padded(sequences)
            filled = np.flatnonzero((numbers != 0).any(axis=1))
            for start in range(0, len(filled), ROWS):
                rows = filled[start : start + ROWS]
                scores[rows] = self._asked(torch.from_numpy(numbers[rows]), table, table).cpu().numpy()
        scores[:, self.own == 0] = -np.inf
        return scores

    def padded(self, sequences: SequenceBatch) -> tuple[Int64, Int64]:
        """RecTools' numbers int64 [B, reads] of the items that it knows, left-padded; and the column of each."""
        numbers = self.own[sequences.items]
        order = np.argsort(numbers != 0, axis=1, kind="stable")  # unknown items are dropped, the rest keep their order
        order = order[:, -self.reads :]
        return np.take_along_axis(numbers, order, axis=1), order

    @property
    def item_embeddings(self) -> Any:
        """[n_items + 1, D], zeros at row 0 and at items that it doesn't know."""
        import torch

        table = self._table().detach().cpu()[torch.from_numpy(self.own)].clone()
        table[torch.from_numpy(self.own == 0)] = 0
        return table

    def embed(self, sequences: SequenceBatch) -> Any:
        """[B, L, D]; zeros at padding."""
        import torch

        return self.item_embeddings[torch.from_numpy(sequences.items.astype(np.int64))]

    def score_embeddings(self, embeddings: Any, sequences: SequenceBatch) -> Any:
        """[B, n_items + 1] from embeddings [B, L, D] placed as `sequences`; −inf at items that it doesn't know."""
        import torch

        table = self._table().detach()
        numbers, order = self.padded(sequences)
        keep = torch.from_numpy(np.flatnonzero((numbers != 0).any(axis=1)))
        scores = torch.zeros(len(sequences), self.n_items + 1)
        if len(keep):
            columns = torch.from_numpy(order)[:, :, None].expand(-1, -1, embeddings.shape[-1])
            given = embeddings.gather(1, columns)[keep].to(table.device)
            # a session looks its items up in a table: every place gets a row of its own behind the items' rows
            rows = torch.arange(given.shape[0] * given.shape[1]).reshape(given.shape[:2]) + len(table)
            looked_up = torch.where(torch.from_numpy(numbers)[keep] != 0, rows, 0)
            extended = torch.cat([table, given.reshape(-1, given.shape[-1])])
            with _contained():
                scores = scores.index_copy(0, keep, self._asked(looked_up, extended, table).cpu())
        return scores.masked_fill(torch.from_numpy(self.own == 0), -torch.inf)

    def _asked(self, sessions: Any, read: Any, ranked: Any) -> Any:
        """[B, n_items + 1] of sessions [B, L] whose numbers are rows of `read`, over the items of `ranked`."""
        import torch
        from torch.nn import functional as F

        network, device = self._fitted(), read.device
        if self.masks:
            mask = int(self.model.data_preparator.extra_token_ids[MASK])
            sessions = F.pad(sessions, (0, 1), value=mask)
        sessions = F.pad(sessions, (self.reads + self.masks - sessions.shape[1], 0)).to(device)
        similarity = network.similarity_module
        state = similarity.session_tower_forward(network.encode_sessions({"x": sessions}, read)[:, -1, :])
        scores = similarity(state, similarity.item_tower_forward(ranked))
        return scores[:, torch.from_numpy(self.own).to(device)].float()

    def _table(self) -> Any:
        return self._fitted().item_model.get_all_embeddings()

    def _fitted(self) -> Any:
        if self.network is None:
            raise ModelFault("This RecTools model is not fitted yet: call fit(log, seed=…).")
        return self.network.eval()


@contextmanager
def _contained(seed: int | None = None) -> Iterator[None]:
    """Generators are as before afterwards, and Lightning does not tell what hardware it found."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with restored(seed):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
