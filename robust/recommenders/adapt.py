"""Foreign models as recommenders: capabilities found by probing one row, every answer checked.

scikit-learn, implicit and Cornac use the same method names for other things, so a name alone proves nothing.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from robust.errors import InputError, ModelFault, RobustError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.protocols import Capability, Float32, Recommender

if TYPE_CHECKING:
    import torch

Answer = TypeVar("Answer")


def adapt(model: Any) -> Recommender:
    """Wrap anything that has `n_items` and `recommend(sequences, k)` or `score(sequences)`; ours pass through.

    Raises:
        InputError: the object has neither method, or no valid `n_items`.
        ModelFault: a method is there, but the probe of one row failed.
    """
    if isinstance(getattr(model, "capabilities", None), frozenset):
        recommender: Recommender = model
        return recommender
    name = type(model).__name__
    n_items = getattr(model, "n_items", None)
    fittable = callable(getattr(model, "fit", None))
    if n_items is None and fittable:
        n_items = 0
    if isinstance(n_items, bool) or not isinstance(n_items, (int, np.integer)) or (n_items < 1 and not fittable):
        raise InputError(f"'{name}' needs an integer n_items of at least 1 (items are 1…n_items); got {n_items!r}.")
    if not any(callable(getattr(model, method, None)) for method in ("recommend", "score")):
        raise InputError(
            f"'{name}' has neither recommend(sequences, k) nor score(sequences); one of them is all that a recommender "
            "must have."
        )
    if n_items < 1:
        return _Unfitted(model)
    return _probed(model, int(n_items))


def _probed(model: Any, n_items: int) -> Recommender:
    """Ask for one row, and offer what answered well."""
    scores, lists = callable(getattr(model, "score", None)), callable(getattr(model, "recommend", None))
    probe = SequenceBatch(np.array([[0, 1, min(2, n_items)]], dtype=np.int32))
    offered: set[Capability] = {"lists"}
    wrapper = Adapted(model, n_items, frozenset({"lists", "scores"} if scores else {"lists"}))
    if scores:
        try:
            wrapper.score(probe)
            offered.add("scores")
        except ModelFault:
            if not lists:
                raise
    if callable(getattr(model, "fit", None)):
        offered.add("fit")
    if "scores" in offered and _gradient_arrives(wrapper, probe):
        offered.add("gradients")
    adapted = Adapted(model, n_items, frozenset(offered))
    adapted.recommend(probe, min(2, n_items))
    return adapted


def _gradient_arrives(model: Adapted, probe: SequenceBatch) -> bool:
    inner = model.model
    if not all(hasattr(inner, name) for name in ("embed", "score_embeddings", "item_embeddings")):
        return False
    import torch

    try:
        embedded = model.embed(probe).detach().requires_grad_(True)
        scores = model.score_embeddings(embedded, probe)
        finite = scores[:, 1:][torch.isfinite(scores[:, 1:])]
        (gradient,) = torch.autograd.grad(finite.sum(), embedded, allow_unused=True)
    except (ModelFault, RuntimeError):
        return False
    return gradient is not None and embedded.shape[:2] == probe.items.shape


def _asked(model: Any, method: str, call: Callable[[], Answer]) -> Answer:
    """Call into the user's code; whatever it raises becomes one sentence."""
    try:
        return call()
    except RobustError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f" (line {frames[-1].lineno} of {frames[-1].name})" if len(frames) > 1 else ""
        said = f"{type(error).__name__}: {error}"
        raise ModelFault(f"{type(model).__name__}.{method} raised {said}{where}.") from error


class Adapted:
    """A foreign model behind our protocols; offers only what its probe showed, and checks each answer."""

    def __init__(self, model: Any, n_items: int, offered: frozenset[Capability]) -> None:
        self.model, self.n_items, self.capabilities = model, n_items, offered

    @property
    def context(self) -> int:
        """How many of the newest items the model reads, where it says so; 0 where it does not."""
        value = getattr(self.model, "context", 0)
        return int(value) if isinstance(value, (int, np.integer)) else 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], checked.

        Raises:
            ModelFault: it raised, or the lists have a wrong shape, unknown ids, duplicates or inner padding.
        """
        if not callable(getattr(self.model, "recommend", None)):
            return top_k(self.score(sequences), k)
        answer = _asked(self.model, "recommend", lambda: self.model.recommend(sequences, k))
        lists = _as_array(answer)
        name = f"{type(self.model).__name__}.recommend"
        if lists.shape != (len(sequences), k):
            raise ModelFault(f"{name} returned shape {lists.shape}, expected ({len(sequences)}, {k}): [B, k].")
        if not np.issubdtype(lists.dtype, np.integer):
            raise ModelFault(f"{name} returned {lists.dtype}, expected integer item ids 1…{self.n_items}.")
        if lists.size and (lists.min() < 0 or lists.max() > self.n_items):
            raise ModelFault(f"{name} returned ids {lists.min()}…{lists.max()}, expected 1…{self.n_items} (0 pads).")
        if np.any((lists[:, :-1] == 0) & (lists[:, 1:] != 0)):
            raise ModelFault(f"{name} returned padding (0) before the end of a list.")
        ordered = np.sort(lists, axis=1)
        if np.any((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != 0)):
            raise ModelFault(f"{name} returned an item twice in one list.")
        return lists.astype(np.int32)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], checked.

        Raises:
            ModelFault: it raised, or the scores have a wrong shape or hold NaN.
        """
        answer = _asked(self.model, "score", lambda: self.model.score(sequences))
        scores = _as_array(answer)
        name = f"{type(self.model).__name__}.score"
        if scores.shape != (len(sequences), self.n_items + 1):
            expected = f"({len(sequences)}, {self.n_items + 1})"
            raise ModelFault(f"{name} returned shape {scores.shape}, expected {expected}: [B, n_items + 1].")
        if not np.issubdtype(scores.dtype, np.number) or np.iscomplexobj(scores):
            raise ModelFault(f"{name} returned {scores.dtype}, expected floating-point scores.")
        missing = int(np.isnan(scores[:, 1:]).sum())
        if missing:
            raise ModelFault(f"{name} returned NaN {missing} times in {scores[:, 1:].size} scores.")
        return scores.astype(np.float32)

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The foreign model's own fit, adapted.

        Raises:
            ModelFault: it raised, or returned something that does not recommend.
        """
        fitted = _asked(self.model, "fit", lambda: self.model.fit(log, seed=seed))
        return _fitted(self.model, fitted)

    @property
    def item_embeddings(self) -> torch.Tensor:
        """The foreign model's item table."""
        table: torch.Tensor = _asked(self.model, "item_embeddings", lambda: self.model.item_embeddings).detach()
        return table

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """The foreign model's embeddings."""
        embedded: torch.Tensor = _asked(self.model, "embed", lambda: self.model.embed(sequences))
        return embedded

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """The foreign model's scores from embeddings."""
        scores: torch.Tensor = _asked(
            self.model, "score_embeddings", lambda: self.model.score_embeddings(embeddings, sequences)
        )
        return scores


class _Unfitted:
    """A foreign model that must be fitted before it can rank."""

    capabilities: frozenset[Capability] = frozenset({"lists", "scores", "fit"})
    n_items = 0

    def __init__(self, model: Any) -> None:
        self.model = model
        if not callable(getattr(model, "score", None)):
            self.capabilities = frozenset({"lists", "fit"})
        if all(hasattr(type(model), name) for name in ("embed", "score_embeddings", "item_embeddings")):
            self.capabilities |= {"gradients"}

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The foreign model's own fit, adapted."""
        return _fitted(self.model, _asked(self.model, "fit", lambda: self.model.fit(log, seed=seed)))

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """Nothing yet."""
        raise ModelFault(f"{type(self.model).__name__} is not fitted yet (n_items is 0).")


def _fitted(model: Any, fitted: Any) -> Recommender:
    if fitted is None:
        raise ModelFault(f"{type(model).__name__}.fit returned None; it must return the fitted recommender.")
    try:
        return adapt(fitted)
    except InputError as error:
        raise ModelFault(f"{type(model).__name__}.fit returned something that cannot recommend: {error}") from error


def _as_array(answer: Any) -> np.ndarray[Any, Any]:
    """numpy from numpy, lists or a torch tensor."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu().numpy()
    return np.asarray(answer)
