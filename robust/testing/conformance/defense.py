"""What every defence promises: a sanitiser only removes and is blind to who is fake; a guard only drops, and rarely."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from robust.defense import Defense, InputGuard, Sanitizer, ServingDefense
from robust.log import InteractionLog
from robust.recommenders.protocols import Fittable, capabilities
from robust.testing.conformance import guarding, sanitizing, serving, thresholds
from robust.testing.conformance.answers import ANSWERS
from robust.testing.conformance.attacked import histories, trial
from robust.testing.conformance.base import Check, Outcome, require, run_suite
from robust.testing.conformance.defended import Defended, everything, rows_of
from robust.testing.conformance.fitting import columns
from robust.testing.conformance.generators import untouched_generators
from robust.testing.conformance.subject import Recommended


def _metadata(subject: Defended) -> None:
    kind = type(subject.defense)
    require(getattr(kind, "name", ""), "It has no name.")
    require(len(getattr(kind, "source", "")) > 5, "It names no source.")
    require(len(kind.weaknesses) > 20, "It states no weaknesses: every defence has some.")
    again = kind(**subject.defense.model_dump())
    require(again == subject.defense, "Its parameters do not survive being written down.")


def _act(subject: Defended) -> Any:
    """What the defence does, as something that can be compared."""
    if isinstance(subject.defense, Sanitizer):
        return rows_of(subject.defense.clean(subject.poisoned, subject.rng()))
    if isinstance(subject.defense, InputGuard):
        return np.asarray(subject.guard().guard(histories(subject.log))).tobytes()
    ranks = subject.defense.protect(subject.victim, log=subject.log, seed=subject.seed)
    if _in_the_fit(subject.defense):
        ranks = cast(Fittable, ranks).fit(subject.log, seed=subject.seed)
    return np.asarray(ranks.recommend(histories(subject.log), 5)).tobytes()


def _in_the_fit(defense: Defense) -> bool:
    """Whether it acts before or in a fit, rather than at inference."""
    return defense.stage in ("log", "training")


def _repeatable(subject: Defended) -> None:
    with untouched_generators("while it acts"):
        first = _act(subject)
    require(first == _act(subject), "The same seed does something else.")


def _inputs(subject: Defended) -> None:
    """Log, sequences, and the recommender that it protects."""
    log, poisoned, victim = subject.log, subject.poisoned, subject.victim
    before = columns(log), columns(poisoned), everything(victim)
    sequences = histories(log)
    items = sequences.items.copy()
    if isinstance(subject.defense, InputGuard):
        subject.guard().guard(sequences)
    require(np.array_equal(items, sequences.items), "The sequences have changed.")
    _act(subject)
    protected: Any = subject.defense.protect(victim, log=log, seed=subject.seed)
    protected.recommend(sequences, 5)
    require(before[:2] == (columns(log), columns(poisoned)), "The log has changed.")
    require(before[2] == everything(victim), "The recommender that it protects has changed.")


def _protects(subject: Defended) -> None:
    """What stands behind it keeps the promises of a recommender, for all that it offers."""
    model = subject.victim
    protected = subject.defense.protect(model, log=subject.log, seed=subject.seed)
    extra = capabilities(protected) - capabilities(model)
    require(not extra, f"Behind it the recommender claims more than without: {', '.join(sorted(extra))}.")
    for capability, methods in OFFERS.items():
        missing = [name for name in methods if capability in capabilities(protected) and not hasattr(protected, name)]
        require(not missing, f"Behind it the recommender claims {capability}, but has no {', '.join(missing)}.")
    ranked: Any = protected
    if _in_the_fit(subject.defense):
        ranked = cast(Fittable, protected).fit(subject.log, seed=subject.seed)
    if isinstance(subject.defense, ServingDefense):
        ranked = serving.Strangers(protected)
    behind = Recommended(ranked, histories(subject.log, 64), subject.log, subject.seed)
    for outcome in (check(behind) for check in ANSWERS):
        require(outcome.status != "broken", f"Behind it: {outcome.check}: {outcome.message}")
    _embeddings(behind)


OFFERS = {
    "scores": ("score",),
    "fit": ("fit",),
    "resume": ("resume",),
    "gradients": ("item_embeddings", "embed", "score_embeddings"),
}
"""What a capability is asked for by."""


def _embeddings(behind: Recommended) -> None:
    """Scores through embeddings that nobody changed are the defended scores, or a white-box attack meets another."""
    if "gradients" not in behind.able:
        return
    import torch

    model: Any = behind.model
    with torch.no_grad():
        scores = model.score_embeddings(model.embed(behind.sequences), behind.sequences).cpu().numpy()[:, 1:]
    behind.same(behind.answer, scores, "behind it, from embeddings that nobody changed")


CHECKS: tuple[Check[Defended], ...] = (
    Check(
        "metadata", "A defence says what it is and what breaks it, with parameters that can be written down.", _metadata
    ),
    Check("only removes", "A sanitiser removes whole users and does nothing else.", sanitizing.only_removes),
    Check("cleans", "Behind a sanitiser a fit sees the cleaned log, and only that.", sanitizing.cleans),
    Check("share", "A sanitiser removes no larger share of the users than it states.", sanitizing.share),
    Check("suspicion", "A sanitiser removes the most suspicious users.", sanitizing.suspicion),
    Check("blind", "A sanitiser looks at what users do, not at who they are.", sanitizing.blind),
    Check("quantile", "Above a quantile lies no larger share of the users.", thresholds.quantile),
    Check("false discoveries", "A false discovery rate is kept.", thresholds.false_discoveries),
    Check("only drops", "A guard drops items and does nothing else.", guarding.only_drops),
    Check("row by row", "A guard treats a sequence by its items alone.", guarding.row_by_row),
    Check("clean rate", "A guard leaves clean sequences alone, up to its stated rate.", guarding.clean_rate),
    Check("calibration", "A calibrated guard stays as it is.", guarding.calibration),
    Check("callers", "A service answers each caller by their own record.", serving.callers),
    Check("budget", "A service grants a caller as many queries as it states.", serving.budget),
    Check("attacker", "An attacker may look through a service, and changes nothing by it.", serving.attacker),
    Check("needs", "A defence refuses a recommender that lacks what it needs.", thresholds.needs),
    Check("repeatable", "The same seed does the same, and global generators are left alone.", _repeatable),
    Check("inputs", "It leaves log, sequences and the recommender alone.", _inputs),
    Check("protects", "What it protects keeps a recommender's promises, and claims nothing new.", _protects),
)


def defense_checks() -> list[Check[Defended]]:
    """All checks of a defence, to parametrise a test with; each takes `Defended(defense, log)`."""
    return list(CHECKS)


def check_defense(
    defense: Defense, log: InteractionLog | None = None, *, seed: int = 0, raises: bool = True
) -> list[Outcome]:
    """Check all that a defence promises; on a small log unless one is given.

    Raises:
        NonConformity: with `raises`, if a promise is broken, naming all of them.
    """
    return run_suite(CHECKS, Defended(defense, trial()[0] if log is None else log, seed), defense.name, raises=raises)
