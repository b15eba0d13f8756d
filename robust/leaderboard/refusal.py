"""What keeps a review out of the leaderboard: an evaluation that is not sound looks like a robust model.

After RobustBench (Croce et al., NeurIPS 2021), which marks entries that stronger attacks have refuted as unreliable;
here the review's own flags decide beforehand. A flag on what was measured voids a threat wherever it stands. A flag on
an attack that was held back voids it only where the worst case itself comes from that attack: harm is real whoever
does it, but what the strongest attack could not do for such a reason is no sign of robustness.
"""

from __future__ import annotations

from robust.leaderboard.rows import Row, Trial, make_row, trial
from robust.runner.results import CellResult, Results
from robust.runner.standing import Standing, attack_name, standings

VOID = {
    "undertrained": "a victim below first-order Markov has nothing to lose",
    "weak_victim": "a victim below first-order Markov has nothing to lose",
    "unchecked_victim": "nobody knows whether the victim is undertrained",
    "target_everywhere": "nothing can rise",
    "poison_beyond_split": "the victim learnt from the future",
    "scores_change": "a part of every change is chance",
}
"""Flags that void a threat on whichever of its cells, or on the victim, they stand."""

BLIND = {
    "changed_nothing": "the strongest attack changed nothing",
    "no_better_than_control": "the strongest attack did no more than chance",
    "zero_gradient": "the strongest attack follows a gradient that is zero",
    "noisy_gradient": "the strongest attack follows a gradient that is noise",
    "black_box_stronger": "an attack of another threat that sees less did more",
    "transfer_stronger": "an attack planned on another model did more",
    "unfaithful_surrogate": "the copy on which the strongest attack was planned shares little with the victim",
    "larger_budget_weaker": "the same attack did more with less",
}
"""Flags that void a threat where they stand on the cell that the worst case comes from."""

NOTED = {
    "seed_outlier": "it is in the width of the interval",
    "genuine_users_removed": "it is in the price",
    "refuses": "it is in the clean quality, where a refusal is a miss",
    "costs_more_than_attack": "it is in the clean quality",
    "no_effect": "the number is right: it is that of the victim itself",
}
"""Flags that refuse nothing; they are shown beside the row."""


def rows_of(results: Results, *, checksum: str, defense: str | None = None) -> tuple[list[Row], dict[str, str]]:
    """A row for each victim behind each defence, and why some were refused, by `defence on victim: threat`.

    Raises:
        InputError: the results are too old to make rows of.
    """
    trials: dict[tuple[str, str], list[Trial]] = {}
    refused: dict[tuple[str, str], dict[str, str]] = {}
    for standing in standings(results):
        if defense not in (None, standing.defense):
            continue
        key = standing.victim, standing.defense
        against = objections(results, standing)
        trials.setdefault(key, [])
        refused.setdefault(key, {})
        if against:
            refused[key][standing.threat] = "; ".join(against)
        else:
            trials[key].append(trial(results, standing))
    for cell in results.cells:  # a threat that measured nothing for another reason than that it cannot be measured
        if defense not in (None, cell.defense):
            continue
        key = cell.victim, cell.defense
        known = {t.threat for t in trials.setdefault(key, [])} | refused.setdefault(key, {}).keys()
        if cell.threat not in known and cell.verdict in ("ERROR", "INCONCLUSIVE"):
            refused[key][cell.threat] = _unmeasured(cell)
    rows = [
        make_row(results, victim, name, found, refused[victim, name], checksum=checksum)
        for (victim, name), found in trials.items()
        if found
    ]
    said = {
        f"{'no defence' if name == 'none' else name} on {victim}, {threat}": reason
        for (victim, name), reasons in refused.items()
        for threat, reason in reasons.items()
    }
    return rows, said


def objections(results: Results, standing: Standing) -> list[str]:
    """Why this threat's number is not believed; empty where nothing is known against it."""
    found = [
        f"{flag.name}: {VOID[flag.name]}"
        for victim in results.victims
        if victim.victim == standing.victim
        for flag in victim.flags
        if flag.name in VOID
    ]
    for cell in standing.cells:
        if cell.verdict == "ERROR" or (cell.verdict == "INCONCLUSIVE" and cell.bound.metric not in cell.metrics):
            found.append(_unmeasured(cell))
        found += [f"{flag.name}: {VOID[flag.name]}" for flag in cell.flags if flag.name in VOID]
    found += [f"{flag.name}: {BLIND[flag.name]}" for flag in standing.cell.flags if flag.name in BLIND]
    if standing.defense != "none" and len(standing.missed) == len(_attacks(standing)):
        why = next(iter(standing.missed.values()), "nothing was planned on it")
        found.append(f"it was attacked by nobody who knows it ({why})")
    measured = [cell for cell in standing.cells if cell.bound.metric in cell.metrics]
    if any(cell.metrics[cell.bound.metric].attacked_limits is None for cell in measured):
        fewest = min(len(cell.seeds) for cell in measured)
        found.append(f"too few seeds: {fewest}; what is trained needs at least 3, or nobody knows how seeds differ")
    elif standing.clean.low is None or standing.worst.low is None:
        found.append("its means have no limits")
    return list(dict.fromkeys(found))


def _attacks(standing: Standing) -> set[str]:
    return {attack_name(cell) for cell in standing.cells} | standing.missed.keys()


def _unmeasured(cell: CellResult) -> str:
    word = "ended in an ERROR" if cell.verdict == "ERROR" else "was not measured"
    return f"the cell {cell.id} {word}: {cell.reason or 'no reason is given'}"
