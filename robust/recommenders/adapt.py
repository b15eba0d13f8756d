"""Foreign models as recommenders: capabilities found by probing one row, every answer checked.

scikit-learn, implicit and Cornac use the same method names for other things, so a name alone proves nothing.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from robust.errors import InputError, ModelFault
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.metrics.full_ranking import top_k
from robust.recommenders.answers import as_array, asked, checked_lists, checked_scores, has_form_of_scores
from robust.recommenders.protocols import Capability, Float32, Recommender, lacks

if TYPE_CHECKING:
    import torch

_GRADIENT_METHODS = ("embed", "score_embeddings", "item_embeddings")


def adapt(model: Any) -> Recommender:
    """Wrap anything that has `n_items` and `recommend(sequences, k)` or `score(sequences)`; ours pass through.

    A model that has yet to be fitted (`fit(log, *, seed)`; `n_items` 0 or absent) is probed after its fit.

    Raises:
        InputError: the object has neither method, or no valid `n_items`.
        ModelFault: a method is there, but the probe of one row failed.
    """
    if inspect.isclass(model):
        raise InputError(f"{model.__name__} is a class: give an instance of it, such as {model.__name__}().")
    if isinstance(model, str):
        raise InputError(
            f"'{model}' is a name: give the recommender itself, as robust.recommenders.resolve.resolve does."
        )
    if isinstance(getattr(model, "capabilities", None), frozenset):
        recommender: Recommender = model
        return recommender
    name = type(model).__name__
    fittable = callable(getattr(model, "fit", None))
    n_items = getattr(model, "n_items", 0 if fittable else None)
    if isinstance(n_items, bool) or not isinstance(n_items, (int, np.integer)) or (n_items < 1 and not fittable):
        raise InputError(f"'{name}' needs an integer n_items of at least 1 (items are 1…n_items); got {n_items!r}.")
    if not any(callable(getattr(model, method, None)) for method in ("recommend", "score")):
        raise InputError(
            f"'{name}' has neither recommend(sequences, k) nor score(sequences); one of them is all that a recommender "
            "must have."
        )
    return _probed(model, int(n_items)) if n_items >= 1 else UnfittedModel(model)


def _probed(model: Any, n_items: int) -> Recommender:
    """Ask for one row, and offer what answered well."""
    probe = SequenceBatch(np.array([[0, 1, min(2, n_items)]], dtype=np.int32))
    offered: set[Capability] = {"lists"}
    lacking = lacks(model)
    if _scores(model, probe, n_items):
        offered.add("scores")
        without = _why_no_gradient(model, probe, n_items)
        if without is None:
            offered.add("gradients")
        else:
            lacking.setdefault("gradients", without)
    if callable(getattr(model, "fit", None)):
        offered.add("fit")
    if _takes_updates(model):
        offered.add("update")
    adapted = Adapted(model, n_items, frozenset(offered), lacking)
    adapted.recommend(probe, min(2, n_items))
    return adapted


def _scores(model: Any, probe: SequenceBatch, n_items: int) -> bool:
    """Whether `score` means what ours does.

    Where the model also recommends, a `score` that raises or has another form is somebody else's method of that name
    (scikit-learn's takes a target); one of the right form that holds NaN is a fault all the same.
    """
    if not callable(getattr(model, "score", None)):
        return False
    lists = callable(getattr(model, "recommend", None))
    try:
        answer = as_array(asked(model, "score", lambda: model.score(probe)))
    except ModelFault:
        if lists:
            return False
        raise
    if lists and not has_form_of_scores(answer, len(probe), n_items):
        return False
    checked_scores(answer, f"{type(model).__name__}.score", len(probe), n_items)
    return True


def _takes_updates(model: Any) -> bool:
    """Whether `partial_fit` is called as ours is; scikit-learn's takes no seed. A probe would cost an update."""
    method = getattr(model, "partial_fit", None)
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind(None, seed=0)
    except (TypeError, ValueError):  # another method of that name, or one without a signature
        return False
    return True


def _why_no_gradient(model: Any, probe: SequenceBatch, n_items: int) -> str | None:
    """Why gradients of its scores do not reach the sequence; None where they do."""
    name = type(model).__name__
    if missing := [method for method in _GRADIENT_METHODS if not hasattr(model, method)]:
        return f"{name} has no {' and no '.join(missing)}"
    import torch

    adapted = Adapted(model, n_items, frozenset({"gradients"}))
    try:
        embedded = adapted.embed(probe).detach().requires_grad_(True)
        scores = adapted.score_embeddings(embedded, probe)
        table, form = tuple(adapted.item_embeddings.shape), tuple(embedded.shape)
        if table[0] != n_items + 1 or form[:2] != probe.items.shape:
            return f"item_embeddings {table} and embed {form}: expected [{n_items + 1}, D] and [{len(probe)}, 3, D]"
        # squared, since a softmax's outputs have a constant sum
        finite = scores[:, 1:][torch.isfinite(scores[:, 1:])]
        (gradient,) = torch.autograd.grad(finite.square().sum(), embedded, allow_unused=True)
    except (ModelFault, RuntimeError, AttributeError) as error:
        return f"its probe failed: {error}"
    arrives = gradient is not None and bool((gradient != 0).any())
    return None if arrives else f"{name}'s scores do not depend on the embeddings that score_embeddings is given"


def reads_item_ids(recommender: Recommender) -> bool:
    """Whether its fit reads the items' raw ids, as one by a command does: most know items by their numbers only."""
    return bool(getattr(getattr(recommender, "model", recommender), "reads_item_ids", False))


class Adapted:
    """A foreign model behind our protocols; offers only what its probe showed, and checks each answer.

    Attributes:
        lacks: why it does not offer a capability, by the capability, where that is known.
    """

    def __init__(
        self, model: Any, n_items: int, offered: frozenset[Capability], lacking: Mapping[str, str] | None = None
    ) -> None:
        self.model, self.n_items, self.capabilities = model, n_items, offered
        self.lacks = {name: why for name, why in (lacking or {}).items() if name not in offered}

    def __repr__(self) -> str:
        return f"Adapted({type(self.model).__name__}, offers {', '.join(sorted(self.capabilities))})"

    @property
    def context(self) -> int:
        """How many of the newest items the model reads, where it says so; 0 where it does not."""
        value = getattr(self.model, "context", 0)
        return int(value) if isinstance(value, (int, np.integer)) else 0

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], checked; from the scores where the model has no lists.

        Raises:
            ModelFault: it raised, or the lists have a wrong shape, unknown ids, duplicates or inner padding.
        """
        if not callable(getattr(self.model, "recommend", None)):
            return top_k(self.score(sequences), k)
        answer = asked(self.model, "recommend", lambda: self.model.recommend(sequences, k))
        return checked_lists(answer, f"{type(self.model).__name__}.recommend", len(sequences), k, self.n_items)

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1], checked.

        Raises:
            ModelFault: it raised, or the scores have a wrong shape or hold NaN.
        """
        answer = asked(self.model, "score", lambda: self.model.score(sequences))
        return checked_scores(answer, f"{type(self.model).__name__}.score", len(sequences), self.n_items)

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The model's own fit, on a copy, so that the victim stays as it was even where `fit` returns itself.

        Raises:
            ModelFault: it raised, or returned something that does not recommend.
        """
        return fit_copy(self.model, log, seed)

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The model's own update, on a copy, so that the model stays as it was.

        Raises:
            ModelFault: it raised, or returned something that does not recommend.
        """
        return fit_copy(self.model, log, seed, method="partial_fit")

    @property
    def item_embeddings(self) -> torch.Tensor:
        """[n_items + 1, D], the model's item table, detached."""
        table: torch.Tensor = asked(self.model, "item_embeddings", lambda: self.model.item_embeddings).detach()
        return table

    def embed(self, sequences: SequenceBatch) -> torch.Tensor:
        """[B, L, D], the model's embeddings."""
        embedded: torch.Tensor = asked(self.model, "embed", lambda: self.model.embed(sequences))
        return embedded

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        """[B, n_items + 1], the model's scores from embeddings, checked as `score` is."""
        scores: torch.Tensor = asked(
            self.model, "score_embeddings", lambda: self.model.score_embeddings(embeddings, sequences)
        )
        checked_scores(scores, f"{type(self.model).__name__}.score_embeddings", len(sequences), self.n_items)
        return scores


class UnfittedModel:
    """A foreign model that must be fitted before it can rank; what it offers then is probed then."""

    n_items = 0

    def __init__(self, model: Any) -> None:
        self.model = model
        offered: set[Capability] = {"lists", "fit"}
        if callable(getattr(model, "score", None)):
            offered.add("scores")
        if _takes_updates(model):
            offered.add("update")
        if all(hasattr(type(model), name) for name in _GRADIENT_METHODS):
            offered.add("gradients")
        self.capabilities: frozenset[Capability] = frozenset(offered)
        self.lacks = {name: why for name, why in lacks(model).items() if name not in offered}

    def fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """The model's own fit, on a copy."""
        return fit_copy(self.model, log, seed)

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """Nothing yet.

        Raises:
            ModelFault: always.
        """
        raise self._unfitted()

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Recommender:
        """Nothing to go on from yet.

        Raises:
            ModelFault: always.
        """
        raise self._unfitted()

    def _unfitted(self) -> ModelFault:
        return ModelFault(f"{type(self.model).__name__} is not fitted yet (its n_items is 0): call fit(log, seed=…).")


def fit_copy(
    model: Any, log: InteractionLog, seed: int, *, method: Literal["fit", "partial_fit"] = "fit"
) -> Recommender:
    """Fit (or update) a copy of a foreign model and adapt what comes back.

    Raises:
        ModelFault: the copy or the fit raised, or what it returned does not recommend.
    """
    name = f"{type(model).__name__}.{method}"
    fresh = asked(model, "__deepcopy__", lambda: copy.deepcopy(model))
    fitted = asked(model, method, lambda: getattr(fresh, method)(log, seed=seed))
    if fitted is None:
        raise ModelFault(f"{name} returned None; it must return the fitted recommender.")
    try:
        recommender = adapt(fitted)
    except InputError as error:
        raise ModelFault(f"{name} returned something that cannot recommend: {error}") from error
    if recommender.n_items != log.n_items:
        raise ModelFault(
            f"{name} returned a recommender of {recommender.n_items} items; the log's vocabulary has {log.n_items}."
        )
    return recommender
