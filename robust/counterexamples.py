"""One sequence that an attack ruins, made as small as it gets: to read, to keep in a folder, and to try again.

No user is named: a counterexample holds dense item ids and a pseudonym. It is still somebody's history, or a piece of
one; keep the folder where you keep such data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from robust import __version__
from robust.edits import Edit, apply_edits, edits_between, filled
from robust.errors import InputError, RobustError
from robust.frozen import Frozen
from robust.log import SequenceBatch
from robust.metrics.full_ranking import MISS
from robust.metrics.registry import parse_metric
from robust.ranking import Ranking, per_user, rank
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Recommender
from robust.seen import Seen
from robust.situation import Situation
from robust.visible import one_line

CANDIDATES = 30
"""Of the ruined sequences, so many are tried to be made smaller."""
AROUND = 2
"""Items shown on either side of an edit."""
LONGEST = 80
"""Characters of an item's name that are shown."""


class StillBroken(AssertionError):
    """A counterexample that was found once still is one."""


class Counterexample(Frozen):
    """A history, its attacked form, and what became of the true next item's rank.

    Attributes:
        history, attacked: dense item ids, oldest first. next_item: the true next item.
        metric, limit: the quality that may drop by at most this share. context: items that are read, the newest; 0 =
            all. seen: items left out of the lists, if any are. rank_before, rank_after: when it was found; None = not
            ranked. user: a pseudonym. attack, budget: what found it.
    """

    history: tuple[int, ...] = Field(min_length=1)
    attacked: tuple[int, ...] = Field(min_length=1)
    next_item: int = Field(ge=1)
    metric: str = "ndcg@10"
    limit: float = Field(default=0.10, ge=0, lt=1)
    context: int = Field(default=0, ge=0)
    seen: tuple[int, ...] = ()
    rank_before: int | None = None
    rank_after: int | None = None
    user: str = ""
    attack: str = ""
    budget: str = ""
    version: str = __version__

    @property
    def edits(self) -> tuple[Edit, ...]:
        """From the history to its attacked form, as few as possible."""
        return edits_between(self.history, self.attacked)

    @property
    def name(self) -> str:
        """Short, and the same for the same history and edits."""
        content = json.dumps([self.history, self.attacked, self.next_item, self.metric])
        return hashlib.blake2s(content.encode(), digest_size=4).hexdigest()

    def ranks(self, recommender: Any) -> tuple[int | None, int | None]:
        """The true next item's rank now, before and after the edits; None = not ranked (or not in the list)."""
        ranks = self._ranking(adapt(recommender)).ranks
        return _rank(ranks[0]), _rank(ranks[1])

    def drop(self, recommender: Any) -> float:
        """By what share the metric of this one sequence drops now; 0 where there is nothing to lose."""
        before, after = per_user(self.metric, self._ranking(adapt(recommender)))
        return float((before - after) / before) if before > 0 else 0.0

    def _ranking(self, model: Recommender) -> Ranking:
        largest = max(self.next_item, *self.history, *self.attacked)
        if largest > int(model.n_items):
            raise InputError(f"Item {largest} is not in the recommender's catalogue, which holds 1…{model.n_items}.")
        held = sorted(set(self.seen))
        both = SequenceBatch.from_lists([self.history, self.attacked])
        return rank(
            model,
            both.truncate(self.context) if self.context else both,
            np.full(2, self.next_item, dtype=np.int32),
            seen=Seen(np.arange(3, dtype=np.int64) * len(held), np.tile(np.asarray(held, dtype=np.int32), 2))
            if held
            else None,
            k=parse_metric(self.metric).k or 10,
        )

    def check(self, recommender: Any) -> None:
        """Fail if it is still one.

        Raises:
            StillBroken: the metric of this sequence drops by more than `limit`, now as then.
        """
        drop = self.drop(recommender)
        if drop > self.limit:
            before, after = (_said(r) for r in self.ranks(recommender))
            raise StillBroken(
                f"{self.metric} of one sequence drops by {drop:.0%}, allowed {self.limit:.0%}: item {self.next_item} "
                f"falls from rank {before} to {after}.\n{self.diff()}"
            )

    def diff(self, names: Sequence[Any] | None = None) -> str:
        """The history, an item a line, oldest first; `-` and `+` mark the edits. names: of items 1, 2, … in order."""
        lines: list[tuple[str, int]] = [(" ", item) for item in self.history]
        for edit in self.edits:
            standing = [place for place, (mark, _) in enumerate(lines) if mark != "-"]
            at = standing[-edit.back] if edit.back <= len(standing) else -1
            if edit.kind == "insert":
                lines.insert(at + 1, ("+", edit.item))
                continue
            lines[at] = ("-", lines[at][1])
            if edit.kind == "replace":
                lines.insert(at + 1, ("+", edit.item))
        touched = [place for place, (mark, _) in enumerate(lines) if mark != " "]
        first = max(min(touched, default=0) - AROUND, 0)
        shown = [f"{mark} {_name(item, names)}" for mark, item in lines[first:]]
        return "\n".join([f"  … {first} older" if first else "  (the beginning)", *shown])

    def as_test(self) -> str:
        """A pytest test to paste; it needs a fixture `recommender` (ours takes --robust-model)."""
        fields = [f"history={list(self.history)}", f"attacked={list(self.attacked)}", f"next_item={self.next_item}"]
        fields += [f'metric="{self.metric}"', f"limit={self.limit}"]
        longest = max(len(self.history), len(self.attacked))
        fields += [f"context={self.context}"] if self.context and longest > self.context else []
        fields += [f"seen={list(self.seen)}"] if self.seen else []
        body = "".join(f"        {field},\n" for field in fields)
        return (
            "from robust.counterexamples import Counterexample\n\n\n"
            f"def test_counterexample_{self.name}(recommender):\n"
            f"    Counterexample(\n{body}    ).check(recommender)\n"
        )


def _name(item: int, names: Sequence[Any] | None) -> str:
    return f"item {item}" if names is None else one_line(str(names[item - 1]))[:LONGEST]


def _said(rank: int | None) -> str:
    return "none" if rank is None else str(rank)


def _rank(value: Any) -> int | None:
    return None if int(value) >= MISS else int(value)


def smallest(
    model: Recommender,
    situation: Situation,
    edited: SequenceBatch,
    clean: Ranking,
    attacked: Ranking,
    *,
    metric: str,
    limit: float,
    rows: Any = None,
    attack: str = "",
    budget: str = "",
) -> Counterexample | None:
    """Of the sequences whose metric drops by more than `limit`, the one that is easiest to read, made smaller.

    Edits are taken back one by one, then older items of the history, for as long as the drop stays beyond the limit.

    Args:
        edited: what the attack made of `situation.sequences`. clean, attacked: their rankings.
        rows: bool [n], which may be looked at; all by default.
    """
    before, after = per_user(metric, clean), per_user(metric, attacked)
    ruined = (before > 0) & (before - after > limit * before)
    if rows is not None:
        ruined &= rows
    found = np.flatnonzero(ruined)
    if len(found) == 0:
        return None
    order = found[np.lexsort((situation.sequences.lengths[found], after[found] - before[found]))][:CANDIDATES]
    best: Counterexample | None = None
    for row in order.tolist():
        example = _smaller(model, _example(situation, edited, row, metric, limit, attack, budget))
        if best is None or (len(example.edits), len(example.history)) < (len(best.edits), len(best.history)):
            best = example
    assert best is not None
    ranks = best.ranks(model)
    return best.model_copy(update={"rank_before": ranks[0], "rank_after": ranks[1]})


def _example(
    situation: Situation, edited: SequenceBatch, row: int, metric: str, limit: float, attack: str, budget: str
) -> Counterexample:
    seen = situation.seen
    return Counterexample(
        history=tuple(filled(situation.sequences.items[row])),
        attacked=tuple(filled(edited.items[row])),
        context=situation.sequences.width,
        next_item=int(situation.truth[row]),
        metric=metric,
        limit=limit,
        seen=() if seen is None else tuple(filled(seen.items[seen.offsets[row] : seen.offsets[row + 1]])),
        user="u" + hashlib.blake2s(f"user {situation.sequences.users[row]}".encode(), digest_size=3).hexdigest(),
        attack=attack,
        budget=budget,
    )


def _smaller(model: Recommender, example: Counterexample) -> Counterexample:
    """Fewer edits first, then a shorter history, as long as it still is a counterexample."""
    for form in _simpler(example):
        try:
            if form.drop(model) > form.limit:
                return _smaller(model, form)
        except RobustError:
            continue
    return example


def _simpler(example: Counterexample) -> Iterator[Counterexample]:
    edits = example.edits
    for place in range(len(edits) if len(edits) > 1 else 0):
        fewer = edits[:place] + edits[place + 1 :]
        try:
            attacked = apply_edits(example.history, fewer)
        except InputError:
            continue  # an edit that stood on the one taken back
        if attacked:
            yield example.model_copy(update={"attacked": tuple(attacked)})
    needed = max((edit.back for edit in edits), default=1)
    length = len(example.history)
    for kept in dict.fromkeys([needed, needed + 1, needed + 3, length // 2, length - 1]):
        if needed <= kept < length:
            history = example.history[-kept:]
            try:
                yield example.model_copy(update={"history": history, "attacked": tuple(apply_edits(history, edits))})
            except InputError:
                continue


def explain(example: Counterexample | None, names: Sequence[Any] | None, file: Path | None) -> str:
    """The smallest attack, and how to try it and all of it again."""
    test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" (")[0]
    again = f'\nOnce more:  python -m pytest "{test}"\n' if test else ""
    if example is None:
        return again
    before, after = ("none" if r is None else f"{r:,}" for r in (example.rank_before, example.rank_after))
    edits = len(example.edits)
    target = _name(example.next_item, names)
    return (
        f"\nThe smallest attack found: {edits} edit{'s' if edits != 1 else ''} of a history, oldest item first "
        f"(user {example.user})\n"
        f"{example.diff(names)}\n"
        f"  the true next item, {target}: rank {before} before, {after} after\n"
        f"{again}"
        f"{f'Kept in:    {file}' + chr(10) if file else ''}"
        f"\nAs a test of its own:\n\n{example.as_test()}"
    )
