"""What the neural victims share: fitting, ranking, gradients, and being written down."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from robust.errors import InputError
from robust.log import Int32, Int64, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.alignment import align_left, refuse_unknown
from robust.recommenders.cross_entropy import cross_entropy
from robust.recommenders.dropout import OFF
from robust.recommenders.encoder import Encoder
from robust.recommenders.objective import Objective, plain
from robust.recommenders.protocols import Capability, Float32
from robust.recommenders.recent import Recent, same_catalogue
from robust.recommenders.replacements import evaluate_in_full, objective_of_states
from robust.recommenders.settings import TrainingSettings, parse
from robust.recommenders.training import Augment, Progress, train

_RANKING_BATCH = 256


class NeuralRecommender:
    """A tied item table and an `Encoder`. Unfitted it has `n_items = 0`; fitting returns a new object.

    Inference sees the newest `context` items only. An empty sequence is answered with the train rows' popularity.
    Bits are the same for the same settings, log, seed, number of threads and type of machine.
    """

    settings_type: ClassVar[type[TrainingSettings]]
    capabilities: frozenset[Capability] = frozenset({"lists", "scores", "fit", "resume", "update", "gradients", "loss"})

    def __init__(self, **settings: Any) -> None:
        self.settings = parse(self.settings_type, type(self).__name__, settings)
        self.n_items = 0
        self.steps = 0
        self._model: Encoder | None = None
        self._popularity: NDArray[np.int64] = np.zeros(1, np.int64)
        self._recent = Recent.none(1)

    def __repr__(self) -> str:
        changed = ", ".join(
            f"{name}={getattr(self.settings, name)!r}" for name in sorted(self.settings.model_fields_set)
        )
        return f"{type(self).__name__}({changed})"

    def with_settings(self, **changed: Any) -> Self:
        """The same recommender, weights included, with some settings changed: for what it is trained to next.

        Raises:
            InputError: a setting that does not exist, or one out of range.
        """
        other = copy(self)
        given = {name: getattr(self.settings, name) for name in self.settings.model_fields_set}
        other.settings = parse(self.settings_type, type(self).__name__, given | changed)
        return other

    @property
    def context(self) -> int:
        """How many of the newest items it reads."""
        return self.settings.context

    @abstractmethod
    def _encoder(self, n_items: int) -> Encoder:
        """The sequence model with its parameters undrawn."""

    # --- fitting

    def fit(self, log: InteractionLog, *, seed: int) -> Self:
        """Trained from scratch with early stopping on a validation set made out of `log`."""
        return self.train(log, seed=seed)

    def resume(self, log: InteractionLog, *, seed: int, share: float) -> Self:
        """Trained further on `log` for `share` of the steps that the fit took; see `train`."""
        return self.train(log, seed=seed, share=share)

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Self:
        """A warm update: trained further on the new rows, each predicted from those before it.

        Of what was learnt before, only the last item of each user is remembered. So the first new row of a user is
        predicted from one item, the next from two, as after a cut between two windows of a fit; older rows are not
        rehearsed. It takes `update_share` times the fit's steps times new rows over rows learnt before, at least one
        step. Where there is nothing to predict (one row of each of some new users), the weights stay as they were.

        Raises:
            InputError: not fitted yet, or another catalogue.
        """
        same_catalogue(self, self.n_items, log)
        joined, _ = self._recent.followed_by(log)
        learnable = joined.rows((joined.lengths > 1)[joined.user])
        if len(learnable):
            share = self.settings.update_share * len(log) / max(int(self._popularity.sum()), 1)
            updated = self.train(learnable, seed=seed, share=share)
        else:
            updated = type(self).from_state(*self.state())
        updated._popularity, updated._recent = self._popularity + log.popularity, Recent.of(joined, 1)
        return updated

    def train(
        self,
        log: InteractionLog,
        *,
        seed: int,
        share: float | None = None,
        objective: Objective | None = None,
        augment: Augment | None = None,
        replays: int = 1,
        progress: Progress | None = None,
    ) -> Self:
        """A new recommender, trained on `log`.

        Args:
            share: None trains from scratch. Otherwise training goes on from these weights, with a fresh optimiser and
                another, lower cycle of the learning rate, for this share of the steps of the original fit, without
                early stopping: two arms that are resumed alike differ in their logs only.
            objective: what to minimise; the plain loss by default.
            augment: changes each batch of windows before it is used. replays: steps taken on each batch.
            progress: told after every step where the fit stands.

        Raises:
            InputError: nothing to learn from, or a resume of an unfitted model, or on another catalogue.
        """
        fitted = type(self).__new__(type(self))
        fitted.settings, fitted.n_items = self.settings, log.n_items
        fitted._popularity, fitted._recent = log.popularity, Recent.of(log, 1)
        steps = None
        if share is None:
            encoder = self._new_encoder(log.n_items, np.random.default_rng([seed, 0x1A]))
        else:
            if log.n_items != self.n_items:
                raise InputError(
                    f"{self!r} was fitted to {self.n_items} items and cannot be resumed on a log of {log.n_items}; "
                    "fit it on this log."
                )
            encoder = self._new_encoder(log.n_items, None)
            encoder.load_state_dict(self.encoder.state_dict())
            steps = max(round(share * self.steps), 1)
        trained = train(
            encoder,
            log,
            self.settings,
            seed=seed,
            steps=steps,
            objective=objective or plain,
            augment=augment,
            replays=replays,
            progress=progress,
        )
        fitted.steps = trained.steps if share is None else self.steps
        fitted._model = trained.encoder.requires_grad_(False)
        return fitted

    def _new_encoder(self, n_items: int, rng: np.random.Generator | None) -> Encoder:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        with torch.device("meta"):  # draws nothing from torch's global generator
            encoder = self._encoder(n_items)
        encoder = encoder.to_empty(device=device)
        if rng is not None:
            encoder.initialise(torch.Generator(device).manual_seed(int(rng.integers(2**63))))
        return encoder

    @property
    def encoder(self) -> Encoder:
        """The trained sequence model; its parameters ask for no gradients.

        Raises:
            InputError: not fitted yet.
        """
        if self._model is None:
            raise InputError(f"{self!r} is not fitted: call fit(log, seed=…) first.")
        return self._model

    # --- gradients

    @property
    def item_embeddings(self) -> Tensor:
        """float32 [n_items + 1, D], row 0 = padding; detached. [1, D] before fitting."""
        return torch.zeros(1, self.settings.dimension) if self._model is None else self._model.table.detach()

    def embed(self, sequences: SequenceBatch) -> Tensor:
        """float32 [B, L, D], the item embeddings before positions are added; zero rows at padding."""
        table = self.encoder.table
        refuse_unknown(sequences, self.n_items)
        return F.embedding(torch.from_numpy(sequences.items.astype(np.int64)).to(table.device), table)

    def with_item_embeddings(self, table: Tensor) -> Self:
        """This recommender with another item table [n_items + 1, D], on both the input's and the output's side.

        Differentiable in `table`; the other weights are shared.

        Raises:
            InputError: a table of another shape.
        """
        encoder = copy(self.encoder)
        if table.shape != encoder.table.shape:
            raise InputError(f"The item table is {tuple(encoder.table.shape)}, got {tuple(table.shape)}.")
        encoder._parameters = {name: value for name, value in encoder._parameters.items() if name != "table"}
        encoder._buffers = {**encoder._buffers, "table": table.to(self.encoder.table.device)}
        moved = copy(self)
        moved._model = encoder
        return moved

    def _aligned(self, embeddings: Tensor, sequences: SequenceBatch) -> tuple[Tensor, Tensor, Int64]:
        """The newest embeddings [B, W, D], aligned to the left; how many there are, int64 [B]; their columns [B, W]."""
        columns, lengths = align_left(sequences.items, self.settings.context)
        index = torch.from_numpy(columns).to(embeddings.device).unsqueeze(-1).expand(-1, -1, embeddings.shape[-1])
        return embeddings.gather(1, index), torch.from_numpy(lengths).to(embeddings.device), columns

    def score_embeddings(self, embeddings: Tensor, sequences: SequenceBatch) -> Tensor:
        """float32 [B, n_items + 1] from (perturbed) embeddings [B, L, D], padded as `sequences`; column 0 is −inf."""
        aligned, lengths, _ = self._aligned(embeddings, sequences)
        states, table = self.encoder.last_state(aligned, lengths), self.encoder.table
        scores = states @ table[1:].T
        if bool((lengths == 0).any()):
            popularity = torch.from_numpy(self._popularity[1:].astype(np.float32)).to(table.device)
            scores = torch.where((lengths == 0).unsqueeze(1), popularity, scores)
        return F.pad(scores, (1, 0), value=float("-inf"))

    def loss(self, sequences: SequenceBatch, targets: Int32, embeddings: Tensor | None = None) -> Tensor:
        """Scalar mean cross-entropy of predicting `targets` [B], or [B, L] (0 = none), without dropout.

        Targets [B] follow the newest item; targets [B, L] follow the item in the same column.
        """
        embedded = self.embed(sequences) if embeddings is None else embeddings
        wanted = np.asarray(targets)
        aligned, lengths, columns = self._aligned(embedded, sequences)
        if wanted.ndim == 1:
            hidden = self.encoder.last_state(aligned, lengths)
        else:
            hidden = self.encoder(aligned, lengths, OFF).flatten(0, 1)
            beyond = np.arange(columns.shape[1]) >= lengths.cpu().numpy()[:, None]
            wanted = np.where(beyond, 0, np.take_along_axis(wanted, columns, axis=1)).reshape(-1)
        chosen = torch.from_numpy(np.flatnonzero(wanted)).to(embedded.device)
        goal = torch.from_numpy(wanted.astype(np.int64)).to(embedded.device)[chosen] - 1
        return cross_entropy(hidden[chosen], self.encoder.table[1:], goal)

    # --- ranking

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], higher is better; column 0 is −inf."""
        scores = np.empty((len(sequences), self.n_items + 1), np.float32)
        with torch.no_grad():
            for start in range(0, len(sequences), _RANKING_BATCH):
                part = sequences[start : start + _RANKING_BATCH]
                scores[start : start + len(part)] = self.score_embeddings(self.embed(part), part).cpu().numpy()
        return scores

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first; ties by the lower id."""
        lists = [top_k(self.score(part), k) for part in sequences.chunks(_RANKING_BATCH)]
        return np.concatenate(lists) if lists else np.zeros((0, k), np.int32)

    def evaluate_replacements(
        self, sequence: SequenceBatch, position: int, items: Int32, objective: Callable[[Tensor], Tensor]
    ) -> Float32:
        """float32 [m], without recomputing what a replacement leaves unchanged; see `replacements`."""
        row = sequence.items.copy()
        row[0, position] = items[0] if len(items) else 0  # an insertion: there is room for it from now on
        columns, lengths = align_left(row, self.settings.context)
        place = np.flatnonzero(columns[0, : lengths[0]] == position)
        with torch.no_grad():
            if len(place) == 0:  # older than what the model sees: nothing changes
                return np.repeat(evaluate_in_full(self, sequence, position, items[:1], objective), len(items))
            table = self.encoder.table
            seen = self.embed(sequence.with_items(row))[0, torch.from_numpy(columns[0]).to(table.device)]
            candidates = F.embedding(torch.from_numpy(items.astype(np.int64)).to(table.device), table)
            states = self.encoder.replaced_last_states(seen, int(place[0]), candidates)
            return objective_of_states(states, table, objective)

    # --- being written down

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """The weights, the train rows' popularity and each user's last item; the settings and the fit's steps."""
        arrays = {name: value.cpu().numpy().copy() for name, value in self.encoder.state_dict().items()}
        settings = {"settings": self.settings.model_dump(mode="json"), "n_items": self.n_items, "steps": self.steps}
        return {**arrays, "popularity": self._popularity.copy(), "recent": self._recent.items.copy()}, settings

    @classmethod
    def from_state(cls, arrays: dict[str, NDArray[Any]], settings: dict[str, Any]) -> Self:
        """The inverse of `state`, to the bit."""
        fitted = cls(**settings["settings"])
        fitted.n_items, fitted.steps = int(settings["n_items"]), int(settings["steps"])
        weights = dict(arrays)
        fitted._popularity = np.asarray(weights.pop("popularity"))
        # older checkpoints remember nobody: a first new row is then predicted from nothing, that is, not at all
        fitted._recent = Recent(weights.pop("recent", Recent.none(1).items))
        encoder = fitted._new_encoder(fitted.n_items, None)
        encoder.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
        fitted._model = encoder.requires_grad_(False)
        return fitted
