"""May two runs be compared, and which of their cells belong together?

Everything that a number stands on must be equal: train rows, evaluated users in their order and true next items (one
digest, so that what the users are called in a run does not matter), the protocol, and each threat's goal, knowledge,
attacks and budgets. Models, defences, limits of bounds, seeds and how many of them may differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robust.compare.runs import Run
from robust.compare.stated import Stated, key_of, renamed
from robust.errors import InputError
from robust.runner.results import CellResult, Results

REMEDY = "Review both models with the same scenario on the same log."

LOG = {
    "name": "name of the log",
    "rows": "rows of the log",
    "users": "users of the log",
    "items": "items of the log",
    "evaluated_users": "evaluated users",
    "seen": "treatment of items already seen",
}
PROTOCOL = {"users": "most users evaluated", "split": "split", "retrain": "retraining"}
FREE = {"id", "title", "defenses", "plan", "bound", "surrogate"}
"""Of a threat, what need not be equal, or is looked at on its own."""


@dataclass(frozen=True)
class Pairing:
    """Cells of the base and the candidate that belong together, what only one of them has, and what to know."""

    cells: list[tuple[CellResult, CellResult]]
    missing: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_comparable(base: Run, candidate: Run) -> Pairing:
    """Pair the cells of two runs.

    Raises:
        InputError: the runs cannot be compared, with every reason found.
    """
    before, after = Stated.of(base.results), Stated.of(candidate.results)
    if reasons := refusals(before, after):
        raise InputError(
            f"The runs in '{base.folder}' (base) and '{candidate.folder}' (candidate) cannot be compared:"
            f"{_listed(reasons)}\n{REMEDY}"
        )
    victims = _victims(before, after)
    return _paired(base.results, candidate.results, victims, _notes(base, candidate, victims))


def check_will_compare(base: Run, review: Stated) -> None:
    """Find out before a review begins what is known by then of whether it can be compared with a base.

    Raises:
        InputError: it cannot be, with every reason found.
    """
    if reasons := refusals(Stated.of(base.results), review):
        raise InputError(
            f"This review could not be compared with the run in '{base.folder}' (--baseline), so nothing was run:"
            f"{_listed(reasons)}\n{REMEDY}"
        )


def refusals(before: Stated, after: Stated) -> list[str]:
    """Every reason why two runs cannot be compared; none if they can."""
    reasons = [*_log(before, after), *_protocol(before, after)]
    shared = [threat for threat in before.threats if threat in after.threats]
    for threat in shared:
        reasons += _threat(threat, before.threats[threat], after.threats[threat])
    if not shared:
        reasons.append(f"no threat is in both: {_names(before.threats)} there, {_names(after.threats)} here")
    victims = _victims(before, after)
    if not victims:
        names = [_names(dict.fromkeys(stated.victims)) for stated in (before, after)]
        reasons.append(f"several models, none of which is in both by name: {names[0]} there, {names[1]} here")
    return reasons or _unmeasured(before, after, victims)


def _unmeasured(before: Stated, after: Stated, victims: Mapping[str, str]) -> list[str]:
    there = {key: renamed(key, victims[key[1]]) for key in after.unmeasured if key[1] in victims}
    pairs = [(before.unmeasured[old], after.unmeasured[key]) for key, old in there.items() if old in before.unmeasured]
    if not all(any(pair) for pair in pairs):
        return []
    why = "; ".join(dict.fromkeys(reason for pair in pairs for reason in pair if reason))
    return [f"not one cell was measured in both{why and f': {why}'}"]


def _listed(reasons: list[str]) -> str:
    return "".join(f"\n  - {reason}" for reason in dict.fromkeys(reasons))


def _log(base: Stated, candidate: Stated) -> list[str]:
    found = [
        _differs(words, getattr(base.dataset, name), getattr(candidate.dataset, name))
        for name, words in LOG.items()
        if getattr(base.dataset, name) != getattr(candidate.dataset, name)
    ]
    if None in (base.data, candidate.data):
        return [*found, "a run does not say which data it stands on (made by an older version): review again"]
    if base.data != candidate.data and not found:
        return [
            "other data: the train rows, the evaluated users or their true next items are not the same, or items are "
            "numbered in another order (--vocabulary)"
        ]
    return found


def _protocol(base: Stated, candidate: Stated) -> list[str]:
    return [
        _differs(words, base.scenario.get(name), candidate.scenario.get(name))
        for name, words in PROTOCOL.items()
        if base.scenario.get(name) != candidate.scenario.get(name)
    ]


def _threat(name: str, base: Mapping[str, Any], candidate: Mapping[str, Any]) -> list[str]:
    """Statements that only one run makes are those of a newer version, whose default the older one had."""
    asked = [key for key in base if key in candidate and key not in FREE]
    found = [
        _differs(f"{key} of the threat '{name}'", base[key], candidate[key])
        for key in asked
        if base[key] != candidate[key]
    ]
    for key in ("metric", "kind"):
        before, after = base["bound"].get(key), candidate["bound"].get(key)
        if before != after:
            found.append(_differs(f"{key} bounded by the threat '{name}'", before, after))
    transfers = "surrogate" in base.get("plan", ()) and "surrogate" in candidate.get("plan", ())
    if transfers and base.get("surrogate") != candidate.get("surrogate"):
        found.append(_differs(f"surrogate of the threat '{name}'", base.get("surrogate"), candidate.get("surrogate")))
    return found


def _differs(what: str, base: Any, candidate: Any) -> str:
    there, here = _telling(base, candidate)
    return f"other {what}: {_short(there)} there, {_short(here)} here"


def _telling(base: Any, candidate: Any) -> tuple[Any, Any]:
    """Both without the statements that are the same in all of their entries, so that what differs is not lost."""
    sides = [value if isinstance(value, list) else [value] for value in (base, candidate)]
    entries = [entry for side in sides for entry in side]
    if not entries or not all(isinstance(entry, Mapping) for entry in entries):
        return base, candidate
    keys = [key for key in entries[0] | entries[-1] if any(e.get(key) != entries[0].get(key) for e in entries)]
    told = [[{key: entry.get(key) for key in keys} for entry in side] for side in sides]
    there, here = (
        one if isinstance(value, list) else one[0] for one, value in zip(told, (base, candidate), strict=True)
    )
    return there, here


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:199]}…"


def _names(known: Mapping[str, Any]) -> str:
    return ", ".join(f"'{name}'" for name in known) or "none"


def _victims(base: Stated, candidate: Stated) -> dict[str, str]:
    """The base's name of a model by the candidate's: one model each is the same one at two times; else by name."""
    if len(base.victims) == len(candidate.victims) == 1:
        return {candidate.victims[0]: base.victims[0]}
    return {name: name for name in candidate.victims if name in base.victims}


def _paired(base: Results, candidate: Results, victims: Mapping[str, str], notes: list[str]) -> Pairing:
    before = {key_of(cell): cell for cell in base.cells}
    after = {renamed(key_of(cell), victims.get(cell.victim, f"{cell.victim} (new)")): cell for cell in candidate.cells}
    pairs = [(before[key], cell) for key, cell in after.items() if key in before]
    missing = [f"{cell.id}: only in the base" for key, cell in before.items() if key not in after]
    missing += [f"{cell.id}: only in the candidate" for key, cell in after.items() if key not in before]
    return Pairing(pairs, missing, notes)


def _notes(base: Run, candidate: Run, victims: Mapping[str, str]) -> list[str]:
    notes = [
        f"The candidate's '{new}' is compared with the base's '{old}'." for new, old in victims.items() if new != old
    ]
    if base.checksum == candidate.checksum:
        notes.append("Both are the same run, so nothing can differ.")
    before, after = base.results.environment, candidate.results.environment
    if before.get("seqrobust") != after.get("seqrobust"):
        notes.append(
            f"The base was measured by seqrobust {before.get('seqrobust')}, the candidate by "
            f"{after.get('seqrobust')}: attacks may have changed between them."
        )
    old, new = (dict(environment.get("sources") or {}) for environment in (before, after))
    if changed := {name: None for name in old if name in new and old[name] != new[name]}:
        notes.append(
            f"The source of {_names(changed)} changed between the runs: if what it does did, review both again."
        )
    return notes
