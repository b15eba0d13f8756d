"""Base classes of attacks.

An attack is a frozen record whose fields are its parameters, so that YAML, command line, validation and schema come
from one place. The base owns the call: it hands over the access view, runs the attack, checks the budget to the unit
and records queries. The author writes one method.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, final

import numpy as np

from robust.access import Access, AccessView
from robust.checks import check_deltas, check_edit, check_sequences, check_table
from robust.curve import CurvePoint
from robust.errors import NotApplicable
from robust.frozen import Frozen
from robust.log import LogEdit, SequenceBatch
from robust.recommenders.item_table import with_item_embeddings
from robust.recommenders.protocols import Differentiable
from robust.threat import Budget, Degrade, Demote, Promote

if TYPE_CHECKING:
    import torch

AnyGoal = Promote | Demote | Degrade


class Attack(Frozen):
    """What all attacks share: metadata as class variables, parameters as fields.

    Attributes:
        name: the registered name. source: citation, with section or equation. tags: edition-qualified taxonomy ids.
        model_access: what of the model the attack must see at least. log_access: what of the log.
        goals: which goals it can pursue. control: the attack that it must beat at equal budget, or None.
        spends: which of a budget's users, rows, edits and epsilon it can spend; a budget states at least one of them,
            and nothing else. needs_times: whether it makes no sense on a log of positions in place of times.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    tags: ClassVar[tuple[str, ...]] = ()
    model_access: ClassVar[Access] = "none"
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "none"
    goals: ClassVar[frozenset[str]] = frozenset({"promote", "demote", "degrade"})
    control: ClassVar[str | None] = None
    spends: ClassVar[frozenset[str]] = frozenset()
    needs_times: ClassVar[bool] = False

    @property
    def needs_log(self) -> Literal["none", "popularity", "full"]:
        """What of the log it needs with these parameters; `log_access` unless one of them asks for more."""
        return self.log_access

    def runs(self) -> tuple[str, ...]:
        """Registered attacks that this one runs by their names: what changes them changes it."""
        return ()

    def control_attack(self, budget: Budget) -> tuple[str, dict[str, Any]] | None:
        """Name and parameters of the control at this budget, at equal queries where it asks any."""
        return None if self.control is None else (self.control, {})

    def _check_goal(self, goal: AnyGoal) -> None:
        if goal.kind not in self.goals:
            raise NotApplicable(f"'{self.name}' pursues {', '.join(sorted(self.goals))}, not {goal.kind}")


@dataclass(frozen=True)
class Poisoned:
    """A poisoning attack's edit, within its budget, and what it took."""

    edit: LogEdit
    queries: int
    chosen: dict[str, Any]


class PoisoningAttack(Attack):
    """Changes the log that a victim is trained on."""

    spends: ClassVar[frozenset[str]] = frozenset({"users", "rows"})

    @abstractmethod
    def poison(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> LogEdit:
        """The edit: at most `budget.users` profiles of `budget.profile_length` items and `budget.rows` genuine rows."""

    def variants(self) -> list[Self]:
        """Forms of this attack among which an attacker who knows a sanitiser searches; the first is this one."""
        return [self]

    @final
    def __call__(self, access: AccessView, goal: AnyGoal, budget: Budget, rng: np.random.Generator) -> Poisoned:
        """Run within the budget.

        Against a known sanitiser, a model-blind attack becomes adaptive: each of its variants is tried, and the one
        whose fake users look least suspicious is kept, the first of equals. Variants are compared by the area under
        the ROC curve with which the sanitiser tells fakes from genuine users.
        """
        self._check_goal(goal)
        spent = [limit for limit in Budget.model_fields if limit in self.spends]
        if all(getattr(budget, limit) is None for limit in spent):
            raise NotApplicable(f"'{self.name}' poisons a log: its budget states {' or '.join(spent)}, such as 1%")
        if access.knows_defense and self.model_access == "none":
            candidates = self.variants()
            seed = int(rng.integers(2**63))  # the same for all, so that forms differ in their parameters only
            edits = [v.poison(access, goal, budget, np.random.default_rng(seed)) for v in candidates]
            detected = [round(_detection_auc(access, edit), 4) for edit in edits]
            best = int(np.argmin(detected))
            edit = edits[best]
            chosen = candidates[best].model_dump(mode="json") | {"detection_auc": detected[best]}
        else:
            edit, chosen = self.poison(access, goal, budget, rng), self.model_dump(mode="json")
        check_edit(self.name, edit, budget, access.n_items)
        return Poisoned(edit, access.counter.spent, chosen)


def _detection_auc(access: AccessView, edit: LogEdit) -> float:
    """Probability that a fake user is more suspicious than a genuine one (ties count half)."""
    from scipy.stats import rankdata

    log = access._log  # the view keeps it; the suspicion is asked by the harness, not by the attack
    if log is None or edit.fake_users == 0:
        return 0.5
    suspicion = np.asarray(access.suspicion(edit.apply(log)), dtype=float)
    genuine = np.flatnonzero(log.lengths > 0)
    fakes = np.arange(log.n_users, log.n_users + edit.fake_users)
    ranks = rankdata(np.concatenate([suspicion[fakes], suspicion[genuine]]))
    wins = ranks[: len(fakes)].sum() - len(fakes) * (len(fakes) + 1) / 2
    return float(wins / (len(fakes) * len(genuine)))


@dataclass(frozen=True)
class Evaded:
    """An evasion attack's sequences, within the budget, the queries spent, and what a search reached on the way."""

    sequences: SequenceBatch
    queries: int
    curve: tuple[CurvePoint, ...] = ()


class EvasionAttack(Attack):
    """Edits sequences at inference."""

    model_access: ClassVar[Access] = "lists"
    spends: ClassVar[frozenset[str]] = frozenset({"edits"})

    @abstractmethod
    def evade(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> SequenceBatch:
        """Edited sequences, row for row; at most `budget.edits` insertions, deletions and replacements each."""

    @final
    def __call__(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Evaded:
        """Run within the budget."""
        self._check_goal(goal)
        if budget.edits is None:
            raise NotApplicable(f"'{self.name}' edits sequences: its budget states edits")
        edited = sequences
        if budget.edits and len(sequences):
            edited = self.evade(access, sequences, goal, budget, rng)
        check_sequences(self.name, sequences, edited, budget.edits, access.n_items)
        return Evaded(edited, access.counter.spent, access.curve.points())


@dataclass(frozen=True)
class Perturbed:
    """What an embedding attack moves, within the budget, and the queries spent.

    Attributes:
        deltas: [B, L, D], of the embedded sequences. epsilon: the radius in the units of the embedding space.
        table: [n_items + 1, D], of the item table, where the attack moves that: the deltas are its rows then, and what
            ranks items by the same table moves with it.
    """

    deltas: torch.Tensor
    queries: int
    epsilon: float
    table: torch.Tensor | None = None

    def scored_by(self, model: Differentiable, sequences: SequenceBatch, rows: slice = slice(None)) -> torch.Tensor:
        """[b, n_items + 1], a model's scores under this attack; `sequences` are those that the attack was given.

        Raises:
            NotApplicable: a table was moved, and this model's cannot be.
        """
        part = sequences[rows]
        if self.table is None:
            embedded = model.embed(part)
            return model.score_embeddings(embedded + self.deltas[rows].to(embedded.device), part)
        table = model.item_embeddings
        moved = with_item_embeddings(model, table + self.table.to(table.device))
        return moved.score_embeddings(moved.embed(part), part)


class EmbeddingAttack(Attack):
    """Perturbs the embedded sequence: worst-case smoothness of the model rather than something a user can type."""

    model_access: ClassVar[Access] = "gradients"
    spends: ClassVar[frozenset[str]] = frozenset({"epsilon"})

    @abstractmethod
    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """Deltas [B, L, D], zero at padding, within `budget.epsilon` in `budget.norm` per position or sequence.

        Or a delta of the item table [n_items + 1, D], row 0 zero, each row within ε.
        `budget.unit` is `absolute` here: the base has multiplied ε by the model's median nearest-neighbour distance.
        """

    @final
    def __call__(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> Perturbed:
        """Run within the budget."""
        import torch

        from robust.perturbation import neighbour_distance

        self._check_goal(goal)
        if budget.epsilon is None:
            raise NotApplicable(f"'{self.name}' perturbs embeddings: its budget states epsilon")
        epsilon = budget.epsilon
        if budget.unit == "neighbour":
            epsilon *= neighbour_distance(access.model.item_embeddings)
        absolute = budget.model_copy(update={"epsilon": epsilon, "unit": "absolute"})
        if epsilon == 0 or len(sequences) == 0:
            deltas = torch.zeros((*sequences.items.shape, access.model.item_embeddings.shape[1]))
        else:
            deltas = self.perturb(access, sequences, goal, absolute, rng).detach()
        table = None
        if deltas.ndim == 2:
            table = deltas
            check_table(self.name, table, tuple(access.model.item_embeddings.shape), absolute)
            deltas = table[torch.from_numpy(sequences.items.astype(np.int64))]
        else:
            check_deltas(self.name, deltas, sequences, absolute)
        return Perturbed(deltas, access.counter.spent, epsilon, table)
