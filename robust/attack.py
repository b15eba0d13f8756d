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

from robust.access import AccessView
from robust.errors import BudgetExceeded, NotApplicable, RobustError
from robust.log import Int64, LogEdit, SequenceBatch
from robust.threat import Budget, Degrade, Demote, Frozen, Promote

if TYPE_CHECKING:
    import torch

AnyGoal = Promote | Demote | Degrade
Access = Literal["none", "lists", "scores", "gradients"]


class Attack(Frozen):
    """What all attacks share: metadata as class variables, parameters as fields.

    Attributes:
        name: the registered name. source: citation, with section or equation. tags: edition-qualified taxonomy ids.
        model_access: what of the model the attack must see at least. log_access: what of the log.
        goals: which goals it can pursue. control: the attack that it must beat at equal budget, or None.
    """

    name: ClassVar[str]
    source: ClassVar[str]
    tags: ClassVar[tuple[str, ...]] = ()
    model_access: ClassVar[Access] = "none"
    log_access: ClassVar[Literal["none", "popularity", "full"]] = "none"
    goals: ClassVar[frozenset[str]] = frozenset({"promote", "demote", "degrade"})
    control: ClassVar[str | None] = None

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
        if budget.users is None and budget.rows is None:
            raise NotApplicable(f"'{self.name}' poisons a log: its budget states users or rows")
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


def check_edit(attack: str, edit: LogEdit, budget: Budget, n_items: int) -> None:
    """Budget of an edit, to the unit.

    Raises:
        BudgetExceeded: too many fake users, too long a profile, too many genuine rows.
        RobustError: arrays that do not fit together, items outside the catalogue, a gap inside a profile, times that
            do not increase.
    """
    _check_shapes(attack, edit)
    if edit.fake_users > (budget.users or 0):
        raise BudgetExceeded(attack, "fake users", budget.users or 0, edit.fake_users)
    filled = edit.add != 0
    longest = int(filled.sum(axis=1).max(initial=0))
    if edit.fake_users and longest > (budget.profile_length or 0):
        raise BudgetExceeded(attack, "profile length", budget.profile_length or 0, longest)
    if edit.touched_rows > (budget.rows or 0):
        raise BudgetExceeded(attack, "genuine rows", budget.rows or 0, edit.touched_rows)
    for items in (edit.add[filled], edit.replace_items, edit.insert_items):
        if len(items) and (items.min() < 1 or items.max() > n_items):
            raise RobustError(f"Attack '{attack}' used item {items.min()}…{items.max()} of a catalogue 1…{n_items}.")
    if np.any(~filled[:, :-1] & filled[:, 1:]):
        raise RobustError(f"Attack '{attack}' left a gap (0) inside a fake profile.")
    if edit.times is not None and np.any((np.diff(edit.times, axis=1) <= 0) & filled[:, 1:]):
        raise RobustError(f"Attack '{attack}' gave a fake profile times that do not strictly increase.")


def _check_shapes(attack: str, edit: LogEdit) -> None:
    if edit.add.ndim != 2:
        raise RobustError(
            f"Attack '{attack}' gave fake profiles of shape {edit.add.shape}, expected [fake users, profile length]."
        )
    if edit.times is not None and edit.times.shape != edit.add.shape:
        raise RobustError(f"Attack '{attack}' gave times of shape {edit.times.shape} for profiles {edit.add.shape}.")
    together = (
        ("replace_rows", "replace_items"),
        ("move_rows", "move_times"),
        ("insert_users", "insert_items"),
        ("insert_users", "insert_times"),
    )
    for first, second in together:
        lengths = len(getattr(edit, first)), len(getattr(edit, second))
        if lengths[0] != lengths[1]:
            raise RobustError(f"Attack '{attack}' gave {lengths[0]} {first} but {lengths[1]} {second}.")


@dataclass(frozen=True)
class Evaded:
    """An evasion attack's sequences, within the budget, and the queries spent."""

    sequences: SequenceBatch
    queries: int


class EvasionAttack(Attack):
    """Edits sequences at inference."""

    model_access: ClassVar[Access] = "lists"

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
        return Evaded(edited, access.counter.spent)


def check_sequences(attack: str, clean: SequenceBatch, edited: SequenceBatch, edits: int, n_items: int) -> None:
    """Budget of edited sequences, to the unit.

    Raises:
        BudgetExceeded: a sequence lies more than `edits` away from its clean form.
        RobustError: rows were dropped or added, an unknown item, padding inside a sequence.
    """
    if len(edited) != len(clean):
        raise RobustError(f"Attack '{attack}' returned {len(edited)} sequences for {len(clean)}.")
    if not np.array_equal(edited.users, clean.users):
        raise RobustError(f"Attack '{attack}' returned its sequences in another order.")
    if edited.items.size and (edited.items.min() < 0 or edited.items.max() > n_items):
        raise RobustError(f"Attack '{attack}' used an item outside the catalogue 1…{n_items}.")
    if np.any((edited.items[:, :-1] != 0) & (edited.items[:, 1:] == 0)):
        raise RobustError(f"Attack '{attack}' left padding inside or after a sequence; sequences are left-padded.")
    distance = edit_distance(clean, edited)
    if len(distance) and distance.max() > edits:
        raise BudgetExceeded(attack, "edits per sequence", edits, int(distance.max()))


def edit_distance(first: SequenceBatch, second: SequenceBatch) -> Int64:
    """int64 [B], Levenshtein distance of the rows without their padding (insert, delete, replace: one each).

    Rows that differ by replacements in place are settled by counting; the dynamic programme runs, for all remaining
    rows at once, only where lengths or more than one position differ.
    """
    distance = np.zeros(len(first), dtype=np.int64)
    hard = np.ones(len(first), dtype=bool)
    if first.width == second.width:
        differing = (first.items != second.items).sum(axis=1)
        same_length = first.lengths == second.lengths
        distance = np.where(same_length, differing, 0).astype(np.int64)
        hard = ~same_length | (differing > 1)
    rows = np.flatnonzero(hard)
    if len(rows):
        distance[rows] = _levenshtein(first.items[rows], second.items[rows])
    return distance


def _levenshtein(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> Int64:
    """Wagner and Fischer 1974, one anti-dependence-free row at a time, over all pairs at once."""

    def left_aligned(items: np.ndarray[Any, Any]) -> tuple[Any, Any]:
        order = np.argsort(items == 0, axis=1, kind="stable")
        return np.take_along_axis(items, order, axis=1), np.count_nonzero(items, axis=1)

    (a, length_a), (b, length_b) = left_aligned(a), left_aligned(b)
    columns = np.arange(b.shape[1] + 1)
    row = np.broadcast_to(columns, (len(a), len(columns))).astype(np.int64)
    result = np.where(length_a == 0, length_b, 0).astype(np.int64)
    for i in range(a.shape[1]):
        through = np.minimum(row[:, 1:] + 1, row[:, :-1] + (a[:, i : i + 1] != b))
        start = np.full((len(a), 1), i + 1, dtype=np.int64)
        candidate = np.concatenate([start, through], axis=1)
        # insertions along the row: min over j' ≤ j of candidate[j'] + (j − j')
        row = np.minimum.accumulate(candidate - columns, axis=1) + columns
        result = np.where(length_a == i + 1, row[np.arange(len(a)), length_b], result)
    return result


@dataclass(frozen=True)
class Perturbed:
    """An embedding attack's deltas [B, L, D], within the budget, and the queries spent."""

    deltas: torch.Tensor
    queries: int
    epsilon: float


class EmbeddingAttack(Attack):
    """Perturbs the embedded sequence: worst-case smoothness of the model rather than something a user can type."""

    model_access: ClassVar[Access] = "gradients"

    @abstractmethod
    def perturb(
        self,
        access: AccessView,
        sequences: SequenceBatch,
        goal: AnyGoal,
        budget: Budget,
        rng: np.random.Generator,
    ) -> torch.Tensor:
        """Deltas [B, L, D], zero at padding, each position within `budget.epsilon` in `budget.norm`.

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
        check_deltas(self.name, deltas, sequences, absolute)
        return Perturbed(deltas, access.counter.spent, epsilon)


def check_deltas(attack: str, deltas: torch.Tensor, sequences: SequenceBatch, budget: Budget) -> None:
    """Budget of deltas (absolute ε).

    Raises:
        BudgetExceeded: a position lies outside the ball (beyond float32 rounding).
        RobustError: wrong shape, not finite, or padding was moved.
    """
    import torch

    if deltas.ndim != 3 or tuple(deltas.shape[:2]) != sequences.items.shape:
        raise RobustError(
            f"Attack '{attack}' returned deltas of shape {tuple(deltas.shape)}, expected "
            f"[{len(sequences)}, {sequences.width}, D]."
        )
    if not bool(torch.isfinite(deltas).all()):
        raise RobustError(f"Attack '{attack}' returned deltas that are not finite.")
    pad = torch.from_numpy(sequences.items == 0)
    if bool((deltas[pad] != 0).any()):
        raise RobustError(f"Attack '{attack}' moved padding.")
    if deltas.numel() == 0:
        return
    size = deltas.norm(dim=-1) if budget.norm == "l2" else deltas.abs().amax(dim=-1)
    largest, allowed = float(size.max()), float(budget.epsilon or 0.0)
    if largest > allowed * (1 + 1e-5) + 1e-12:
        raise BudgetExceeded(attack, f"{budget.norm} radius per position", allowed, largest)
