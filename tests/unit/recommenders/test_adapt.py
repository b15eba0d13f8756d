"""Foreign models: what they offer is probed, and whatever is wrong with an answer is said in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from robust.errors import InputError, ModelFault
from robust.log import InteractionLog, SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.baselines import Markov
from robust.recommenders.protocols import Fittable, Incremental, Scorer, capabilities
from tests.toys import LinearBag, ListsOnly, chain_log, random_sequences

N = 8
SEQUENCES = random_sequences(5, 4, N)


class Lists:
    """Recommends what its function says, and nothing else."""

    n_items = N

    def __init__(self, answer: Callable[[int, int], Any]) -> None:
        self.answer = answer

    def recommend(self, sequences: SequenceBatch, k: int) -> Any:
        return self.answer(len(sequences), k)


class Scores:
    """Scores what its function says, and nothing else."""

    n_items = N

    def __init__(self, answer: Callable[[int], Any]) -> None:
        self.answer = answer

    def score(self, sequences: SequenceBatch) -> Any:
        return self.answer(len(sequences))


def good_lists(rows: int, k: int) -> Any:
    return np.tile(np.arange(1, k + 1), (rows, 1))


def test_lists_alone_are_enough() -> None:
    adapted = adapt(Lists(good_lists))
    assert capabilities(adapted) == {"lists"}
    assert adapted.n_items == N
    lists = adapted.recommend(SEQUENCES, 3)
    assert lists.dtype == np.int32
    assert lists.tolist() == [[1, 2, 3]] * 5


def test_scores_alone_give_lists_too() -> None:
    adapted = adapt(Scores(lambda rows: torch.arange(N + 1).float().repeat(rows, 1)))
    assert capabilities(adapted) == {"lists", "scores"}
    assert isinstance(adapted, Scorer)
    assert adapted.score(SEQUENCES).dtype == np.float32
    assert adapted.recommend(SEQUENCES, 3).tolist() == [[8, 7, 6]] * 5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_torch_tensors_with_gradients_are_accepted(dtype: torch.dtype) -> None:
    adapted = adapt(Scores(lambda rows: torch.zeros(rows, N + 1, dtype=dtype, requires_grad=True)))
    assert isinstance(adapted, Scorer)
    assert adapted.score(SEQUENCES).shape == (5, N + 1)


def test_a_white_box_model_is_found_by_the_gradient_that_arrives() -> None:
    adapted = adapt(LinearBag(n_items=N))
    assert capabilities(adapted) == {"lists", "scores", "gradients"}


def test_our_own_recommenders_pass_through() -> None:
    ours = Markov()
    assert adapt(ours) is ours


class Severed(LinearBag):
    """Has the names of a white box, but cuts the graph."""

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        return super().score_embeddings(embeddings, sequences).detach()


class RaisesOnEmbeddings(LinearBag):
    """Has the names of a white box, but they mean something else."""

    def score_embeddings(self, embeddings: torch.Tensor, sequences: SequenceBatch) -> torch.Tensor:
        if embeddings.requires_grad:
            raise ValueError("no")
        return super().score_embeddings(embeddings, sequences)


@pytest.mark.parametrize("kind", [Severed, RaisesOnEmbeddings])
def test_names_without_a_gradient_are_no_white_box(kind: type[LinearBag]) -> None:
    assert capabilities(adapt(kind(n_items=N))) == {"lists", "scores"}


class Classifier(Lists):
    """`score(X, y)` as scikit-learn has it."""

    def score(self, x: Any, y: Any) -> float:
        return 0.5


class Loglikelihood(Lists):
    """`score(sequences)` that gives one number per row."""

    def score(self, sequences: SequenceBatch) -> Any:
        return np.zeros(len(sequences))


@pytest.mark.parametrize("kind", [Classifier, Loglikelihood])
def test_somebody_elses_score_is_not_ours(kind: type[Lists]) -> None:
    assert capabilities(adapt(kind(good_lists))) == {"lists"}


class NanBesideLists(Lists):
    """Scores in our form, but NaN."""

    def score(self, sequences: SequenceBatch) -> Any:
        return np.full((len(sequences), N + 1), np.nan)


def test_nan_scores_are_a_fault_even_beside_lists() -> None:
    with pytest.raises(ModelFault, match=r"NanBesideLists.score returned NaN in 8 of 8 scores"):
        adapt(NanBesideLists(good_lists))


BAD_LISTS: dict[str, tuple[Callable[[int, int], Any], str]] = {
    "shape": (lambda rows, k: np.ones((rows, k + 1), int), r"shape \(1, 3\), expected \(1, 2\)"),
    "float ids": (lambda rows, k: good_lists(rows, k).astype(float), "float64, expected integer"),
    "id too large": (lambda rows, k: np.full((rows, k), N + 1), r"ids 9…9, expected 1…8"),
    "negative id": (lambda rows, k: np.full((rows, k), -1), r"ids -1…-1"),
    "twice": (lambda rows, k: np.full((rows, k), 3), "item 3 twice"),
    "padding first": (lambda rows, k: np.tile([0, 1], (rows, 1)), "padding"),
    "none": (lambda rows, k: None, r"shape \(\)"),
    "ragged": (lambda rows, k: [[[1], [1, 2]]] * rows, "object, expected integer"),
}


@pytest.mark.parametrize("case", BAD_LISTS)
def test_wrong_lists_are_refused(case: str) -> None:
    answer, message = BAD_LISTS[case]
    with pytest.raises(ModelFault, match=message):
        adapt(Lists(answer))


BAD_SCORES: dict[str, tuple[Callable[[int], Any], str]] = {
    "without padding column": (lambda rows: np.zeros((rows, N)), r"shape \(1, 8\).*\(1, 9\)"),
    "transposed": (lambda rows: np.zeros((N + 1, rows)), r"shape \(9, 1\)"),
    "integers": (lambda rows: np.zeros((rows, N + 1), int), "int64.*floating"),
    "text": (lambda rows: np.full((rows, N + 1), "a"), "expected floating"),
    "NaN": (lambda rows: np.where(np.arange(N + 1) == 4, np.nan, 0.0)[None].repeat(rows, 0), "NaN in 1 of 8"),
}


@pytest.mark.parametrize("case", BAD_SCORES)
def test_wrong_scores_are_refused(case: str) -> None:
    answer, message = BAD_SCORES[case]
    with pytest.raises(ModelFault, match=message):
        adapt(Scores(answer))


def test_nan_in_the_padding_column_and_infinities_are_allowed() -> None:
    row = np.zeros(N + 1)
    row[0], row[3] = np.nan, -np.inf
    lists = adapt(Scores(lambda rows: row[None].repeat(rows, 0))).recommend(SEQUENCES, N)
    assert 3 not in lists


def test_answers_are_checked_later_too_not_only_in_the_probe() -> None:
    adapted = adapt(Lists(lambda rows, k: good_lists(rows, k) if rows == 1 else np.zeros((rows, k)) - 1))
    with pytest.raises(ModelFault, match="float64"):
        adapted.recommend(SEQUENCES, 2)


def test_an_exception_becomes_one_sentence_with_the_last_line_of_the_users_code() -> None:
    settings: dict[str, Any] = {}

    def broken(rows: int, k: int) -> Any:
        return settings["weights"]

    with pytest.raises(ModelFault) as caught:
        adapt(Lists(broken))
    message = str(caught.value)
    assert message.startswith("Lists.recommend raised KeyError: 'weights', in broken, line ")
    assert message.endswith('return settings["weights"]')
    assert "\n" not in message


class Nothing:
    n_items = 3


@pytest.mark.parametrize("n_items", [None, 0, -1, "many", 2.5, True])
def test_a_catalogue_is_needed(n_items: object) -> None:
    model = Lists(good_lists)
    model.n_items = n_items  # type: ignore[assignment]
    with pytest.raises(InputError, match="n_items of at least 1"):
        adapt(model)


def test_something_to_ask_is_needed() -> None:
    with pytest.raises(InputError, match=r"neither recommend\(sequences, k\) nor score\(sequences\)"):
        adapt(Nothing())


class Learner(Lists):
    """Learns the catalogue's size; fits in place, as many do."""

    n_items = 0

    def __init__(self) -> None:
        super().__init__(good_lists)
        self.seeds: list[int] = []

    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        self.n_items, self.seeds = log.n_items, [*self.seeds, seed]
        return self


def test_a_model_that_fits_in_place_stays_as_it_was() -> None:
    model = Learner()
    adapted = adapt(model)
    assert capabilities(adapted) == {"lists", "fit"}
    assert isinstance(adapted, Fittable)
    fitted = adapted.fit(chain_log(users=5), seed=3)
    again = fitted.fit(chain_log(users=5), seed=4) if isinstance(fitted, Fittable) else None
    assert (model.n_items, model.seeds) == (0, [])
    assert fitted.n_items == 20
    assert fitted.recommend(SEQUENCES, 2).tolist() == [[1, 2]] * 5
    assert again is not None
    assert vars(fitted)["model"].seeds == [3]
    with pytest.raises(ModelFault, match="not fitted yet"):
        adapted.recommend(SEQUENCES, 2)


@pytest.mark.parametrize(
    "returned, message",
    [
        (None, "Learner.fit returned None"),
        (Nothing(), "cannot recommend.*neither"),
        (Lists(good_lists), "8 items; the log's vocabulary has 20"),
    ],
)
def test_what_a_fit_returns_is_checked(returned: object, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Learner, "fit", lambda self, log, *, seed: returned)
    adapted = adapt(Learner())
    assert isinstance(adapted, Fittable)
    with pytest.raises(ModelFault, match=message):
        adapted.fit(chain_log(users=5), seed=0)


def test_a_stranger_with_lists_only() -> None:
    adapted = adapt(ListsOnly(LinearBag(n_items=N)))
    assert capabilities(adapted) == {"lists"}
    assert np.array_equal(adapted.recommend(SEQUENCES, 4), LinearBag(n_items=N).recommend(SEQUENCES, 4))


class OnlineLearner(Lists):
    """Counts the rows that it has learnt; learns in place, as many do."""

    n_items, rows = N, 0

    def __init__(self) -> None:
        super().__init__(good_lists)

    def partial_fit(self, log: InteractionLog, *, seed: int) -> Any:
        self.rows += len(log)
        return self


class Unfitted(OnlineLearner):
    """The same before its first fit."""

    n_items = 0

    def fit(self, log: InteractionLog, *, seed: int) -> Any:
        self.n_items = log.n_items
        return self


class LearnsLikeScikit(Lists):
    """`partial_fit(X, y)` as scikit-learn has it."""

    def partial_fit(self, x: Any, y: Any = None) -> Any:
        return self


def test_a_model_that_learns_in_place_stays_as_it_was() -> None:
    model = OnlineLearner()
    adapted = adapt(model)
    assert capabilities(adapted) == {"lists", "update"}
    assert isinstance(adapted, Incremental)
    updated: Any = adapted.partial_fit(chain_log(users=2, n_items=N, length=5), seed=0)
    again: Any = updated.partial_fit(chain_log(users=1, n_items=N, length=5), seed=0)
    assert (model.rows, updated.model.rows, again.model.rows) == (0, 10, 15)


def test_a_model_can_be_updated_after_its_first_fit_only() -> None:
    adapted: Any = adapt(Unfitted())
    assert capabilities(adapted) == {"lists", "fit", "update"}
    log = chain_log(users=2, n_items=N, length=5)
    with pytest.raises(ModelFault, match="Unfitted is not fitted yet"):
        adapted.partial_fit(log, seed=0)
    assert adapted.fit(log, seed=0).partial_fit(log, seed=0).model.rows == 10


def test_somebody_elses_partial_fit_is_not_ours() -> None:
    assert capabilities(adapt(LearnsLikeScikit(good_lists))) == {"lists"}


def test_what_an_update_returns_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OnlineLearner, "partial_fit", lambda self, log, *, seed: None)
    adapted: Any = adapt(OnlineLearner())
    with pytest.raises(ModelFault, match=r"OnlineLearner\.partial_fit returned None; it must return"):
        adapted.partial_fit(chain_log(users=2, n_items=N), seed=0)


def test_a_class_and_a_name_are_told_apart_from_a_recommender() -> None:
    with pytest.raises(InputError, match=r"Markov is a class: give an instance of it, such as Markov\(\)"):
        adapt(Markov)
    with pytest.raises(InputError, match="'markov' is a name"):
        adapt("markov")
