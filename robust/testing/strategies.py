"""Hypothesis strategies for logs, sequences, budgets, goals, edits, fake profiles, attacks and defences.

All of them shrink towards what is easy to read: fewer users, shorter histories, fewer and simpler edits (replace before
insert before delete), later positions, and items that come first: item 1, or the first of `items` where it is given,
such as a catalogue by falling popularity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from robust import plugins
from robust.attack import AnyGoal, Attack, EmbeddingAttack, EvasionAttack, PoisoningAttack
from robust.defense import Defense
from robust.edits import Edit
from robust.errors import InputError
from robust.log import InteractionLog, LogEdit, SequenceBatch
from robust.threat import Budget, Degrade, Demote, Knowledge, Promote

AttackKind = Literal["poisoning", "evasion", "embedding"]
Spending = Literal["users", "rows", "edits", "epsilon"]
GoalKind = Literal["promote", "demote", "degrade"]
_ATTACKS: dict[str, type[Attack]] = {
    "poisoning": PoisoningAttack,
    "evasion": EvasionAttack,
    "embedding": EmbeddingAttack,
}
_WIDTH = 4
"""An unbounded number is drawn up to twice its default, and at least so far above its least value."""


@st.composite
def interaction_logs(
    draw: st.DrawFn,
    *,
    min_users: int = 1,
    max_users: int = 8,
    min_items: int = 1,
    max_items: int = 10,
    min_length: int = 0,
    max_length: int = 6,
    ties: bool = True,
) -> InteractionLog:
    """Small logs; every user has between `min_length` and `max_length` rows, one user at least one.

    Args:
        ties: whether rows of a user may have equal timestamps, which arrival order then breaks.
    """
    n_items = draw(st.integers(min_items, max_items))
    lengths = draw(st.lists(st.integers(min_length, max_length), min_size=min_users, max_size=max_users))
    if not any(lengths):
        lengths[0] = 1
    rows = sum(lengths)
    items = draw(st.lists(st.integers(1, n_items), min_size=rows, max_size=rows))
    gaps = draw(st.lists(st.integers(0 if ties else 1, 3), min_size=rows, max_size=rows))
    user = np.repeat(np.arange(len(lengths)), lengths)
    return InteractionLog.from_columns(user, items, np.cumsum(gaps), n_users=len(lengths), n_items=n_items)


@st.composite
def sequence_batches(
    draw: st.DrawFn,
    *,
    n_items: int = 10,
    min_sequences: int = 1,
    max_sequences: int = 4,
    min_length: int = 1,
    max_length: int = 6,
    max_padding: int = 2,
) -> SequenceBatch:
    """Left-padded batches; users are numbered by row. `max_padding` columns more than the longest sequence needs."""
    one = st.lists(st.integers(1, n_items), min_size=min_length, max_size=max_length)
    sequences = draw(st.lists(one, min_size=min_sequences, max_size=max_sequences))
    width = max((len(s) for s in sequences), default=0) + draw(st.integers(0, max_padding))
    batch = SequenceBatch.from_lists(sequences, max(width, 1))
    return SequenceBatch(batch.items, np.arange(len(batch)))


@st.composite
def budgets(
    draw: st.DrawFn,
    *,
    kinds: Sequence[Spending] = ("edits", "users", "rows", "epsilon"),
    min_amount: int = 0,
    max_amount: int = 3,
    max_profile_length: int = 5,
    max_epsilon: float = 1.0,
) -> Budget:
    """Budgets of one kind of spending each, in whole units; `epsilon` runs from 0 to `max_epsilon`."""
    kind = draw(st.sampled_from(list(kinds)))
    if kind == "epsilon":
        norm = draw(st.sampled_from(("l2", "linf")))
        return Budget(epsilon=draw(st.floats(0, max_epsilon, allow_subnormal=False)), norm=norm)
    amount = draw(st.integers(min_amount, max_amount))
    if kind == "users":
        return Budget(users=amount, profile_length=draw(st.integers(1, max_profile_length)))
    return Budget(rows=amount) if kind == "rows" else Budget(edits=amount)


@st.composite
def goals(
    draw: st.DrawFn,
    *,
    n_items: int = 10,
    kinds: Sequence[GoalKind] = ("degrade", "promote", "demote"),
    min_targets: int = 1,
    max_targets: int = 3,
    min_k: int = 1,
    max_k: int = 10,
) -> AnyGoal:
    """Goals with distinct target items of a catalogue of `n_items`."""
    kind = draw(st.sampled_from(list(kinds)))
    if kind == "degrade":
        return Degrade()
    most = min(max_targets, n_items)
    targets = draw(st.lists(st.integers(1, n_items), min_size=min_targets, max_size=most, unique=True).map(sorted))
    k = draw(st.integers(min_k, max_k))
    return Promote(items=tuple(targets), k=k) if kind == "promote" else Demote(items=tuple(targets), k=k)


@st.composite
def edits(
    draw: st.DrawFn,
    sequence: Sequence[int],
    budget: Budget,
    *,
    n_items: int,
    items: Sequence[int] | None = None,
    kinds: Sequence[Literal["replace", "insert", "delete"]] = ("replace", "insert", "delete"),
    min_edits: int = 0,
) -> tuple[Edit, ...]:
    """Edits of one sequence (oldest first, without padding), at most `budget.edits`; one item is always left.

    Args:
        items: what may be put in, the simplest first; by default 1 … n_items.

    Raises:
        InputError: the budget states no edits.
    """
    if budget.edits is None:
        raise InputError("edits(…) needs a budget that states edits.")
    length, chosen = len(sequence), []
    new = st.sampled_from(list(items)) if items is not None else st.integers(1, n_items)
    for _ in range(draw(st.integers(min(min_edits, budget.edits), budget.edits))):
        possible = [k for k in kinds if length > (k == "delete")]
        if not possible:
            break
        kind = draw(st.sampled_from(possible))
        back = draw(st.integers(1, length))
        chosen.append(Edit(kind, back, 0 if kind == "delete" else draw(new)))
        length += {"replace": 0, "insert": 1, "delete": -1}[kind]
    return tuple(chosen)


@st.composite
def profiles(
    draw: st.DrawFn,
    budget: Budget,
    *,
    n_items: int,
    items: Sequence[int] | None = None,
    min_users: int = 0,
    min_length: int = 1,
) -> LogEdit:
    """Fake users within the budget: at most `budget.users` profiles of at most `budget.profile_length` items.

    Args:
        items: what a profile may hold, the simplest first; by default 1 … n_items.

    Raises:
        InputError: the budget states no users.
    """
    if budget.users is None or budget.profile_length is None:
        raise InputError("profiles(…) needs a budget that states users and profile_length.")
    item = st.sampled_from(list(items)) if items is not None else st.integers(1, n_items)
    profile = st.lists(item, min_size=min(min_length, budget.profile_length), max_size=budget.profile_length)
    drawn = draw(st.lists(profile, min_size=min(min_users, budget.users), max_size=budget.users))
    width = max((len(p) for p in drawn), default=0)
    add = np.array([p + [0] * (width - len(p)) for p in drawn], dtype=np.int32).reshape(len(drawn), width)
    return LogEdit(add=add)


def attacks(
    *, kind: AttackKind | None = None, knowledge: Knowledge | None = None, goal: GoalKind | None = None
) -> st.SearchStrategy[Attack]:
    """Every attack that is installed, with valid parameters from its fields; the defaults are the simplest.

    Args:
        kind: only this kind. knowledge: only what such an attacker can run. goal: only what can pursue it.

    Raises:
        InputError: nothing installed fits.
    """

    order = ("none", "popularity", "full")

    def fits(plugin: type[Attack]) -> bool:
        known = knowledge is None or (
            knowledge.grants_model(plugin.model_access) and order.index(knowledge.log) >= order.index(plugin.log_access)
        )
        return (kind is None or issubclass(plugin, _ATTACKS[kind])) and known and (goal is None or goal in plugin.goals)

    def granted(attack: Attack) -> bool:
        """With its parameters, which may ask for more of the log than its defaults do."""
        return knowledge is None or order.index(knowledge.log) >= order.index(attack.needs_log)

    return st.deferred(lambda: _of_plugins("attacks", fits).filter(granted))


def defenses(*, stage: Literal["log", "input", "training"] | None = None) -> st.SearchStrategy[Defense]:
    """Every defence that is installed, with valid parameters from its fields; the defaults are the simplest."""
    return st.deferred(lambda: _of_plugins("defenses", lambda plugin: stage is None or plugin.stage == stage))


def _of_plugins(kind: Literal["attacks", "defenses"], fits: Any) -> st.SearchStrategy[Any]:
    found = [plugin for _, plugin in sorted(plugins.load_all(kind).items()) if fits(plugin)]
    if not found:
        raise InputError(f"No installed {kind.removesuffix('s')} fits what was asked for.")
    return st.sampled_from(found).flatmap(parameters)


def parameters(plugin: type[Any]) -> st.SearchStrategy[Any]:
    """Instances of one attack or defence (a pydantic model), each field drawn from its type and limits.

    A field whose values cannot be told from these states them: `Field(examples=[…])`.

    Raises:
        InputError: a required field of a type that is not known here, without examples.
    """
    fields = {name: _values(plugin, name, field) for name, field in plugin.model_fields.items()}

    @st.composite
    def valid(draw: st.DrawFn) -> Any:
        given = {name: draw(values) for name, values in fields.items()}
        try:
            return plugin(**given)
        except ValidationError:  # values that are each within their limits, and do not go together
            reject()

    return valid()


def _values(plugin: type[Any], name: str, field: FieldInfo) -> st.SearchStrategy[Any]:
    if field.examples:
        return st.sampled_from(list(field.examples))
    default = field.get_default(call_default_factory=True)
    values = _typed(field.annotation, field, default)
    if values is not None:
        return values if default is PydanticUndefined else st.just(default) | values
    if default is PydanticUndefined:
        raise InputError(f"{plugin.__name__}.{name}: no values are known for {field.annotation}; give it examples.")
    return st.just(default)


def _typed(annotation: Any, field: FieldInfo, default: Any) -> st.SearchStrategy[Any] | None:
    """Values of a type within a field's limits; None where only the default is known."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is Literal:
        return st.sampled_from(get_args(annotation))
    if annotation is bool:
        return st.booleans()
    if annotation is int:
        least, most, above, below = _limits(field, default)
        return st.integers(int(np.ceil(least)) + above, int(np.floor(most)) - below)
    if annotation is float:
        least, most, above, below = _limits(field, default)
        return st.floats(least, most, exclude_min=above, exclude_max=below, allow_subnormal=False)
    options = get_args(annotation)
    if type(None) in options:
        of = [_typed(option, field, default) for option in options if option is not type(None)]
        return st.one_of(st.none(), *(o for o in of if o is not None))
    return None


def _limits(field: FieldInfo, default: Any) -> tuple[float, float, bool, bool]:
    """The least and the largest value, and whether each is left out: what the field says, and else a modest range."""

    def stated(name: str) -> list[float]:
        return [float(getattr(m, name)) for m in field.metadata if getattr(m, name, None) is not None]

    usual = float(default) if isinstance(default, int | float) else 1.0
    least = max(stated("ge") + stated("gt"), default=min(0.0, 2 * usual))
    most = min(stated("le") + stated("lt"), default=max(2 * usual, least + _WIDTH))
    return least, most, least in stated("gt"), most in stated("lt")
