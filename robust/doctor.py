"""Is a model wired up right? What to know before anything is said of its robustness.

The promises that every recommender makes (padding, determinism, batches, gradients, …), id shift, whether order
matters, and its clean metrics beside baselines. Or, of an attack: does it play by the rules?
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

import numpy as np

from robust import plugins
from robust.datasets import Split, default_seen, leave_last_out, load_dataset, open_log
from robust.errors import InputError, ModelFault
from robust.log import SequenceBatch
from robust.ranking import per_user, rank
from robust.recommenders.adapt import adapt
from robust.recommenders.protocols import Fittable, Recommender, capabilities, lacks
from robust.recommenders.resolve import is_fitted, resolve
from robust.seen import Seen
from robust.testing.conformance import Outcome, Recommended, check_attack, recommender_checks

Mark = Literal["ok", "warn", "fail", "info"]
SAMPLE = 200
REMEDIES = {
    "determinism": "evaluation mode, no dropout, no sampling while ranking",
    "padding": "sequences are left-padded with 0, newest item last: ignore the zeros",
    "batch size": "a row's list must not depend on the other rows",
    "batch order": "a row's list must not depend on its place in the batch",
    "user numbers": "go by the sequence: users are numbered for bookkeeping only",
    "prefix": "the top 1 must be the first of the top 10",
    "lists": "items are 1…n_items, each at most once; 0 fills up a list at its end",
    "context": "cut sequences to the newest items that the model reads",
    "finite": "compute scores in float32; NaN and +∞ have no place in an order",
    "empty sequences": "a row without items gets a list too, and must not disturb its neighbours",
    "embeddings": "embed() looks up item_embeddings; score_embeddings() continues from there, ignoring padding",
    "future": "mask what comes after a position while training",
    "loss": "train on the positions, and the output layer, that are ranked by",
    "fit": "draw from the seed alone; return a new object",
    "seed": "draw from the seed that fit is given; look items up by number, and do not compute with the number",
    "rows": "train on all users of the log",
    "oracle": "let nothing depend on how many user numbers there are; draw for users who have rows",
    "relabelled fit": "item numbers are names: no order, no prior, no cut-off by number",
    "persistence": "write down all settings, not only weights",
}


@dataclass(frozen=True)
class Finding:
    """One check: what was seen, and what to do about it."""

    check: str
    mark: Mark
    seen: str
    remedy: str = ""


@dataclass
class Examination:
    """All findings on one model."""

    findings: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(finding.mark != "fail" for finding in self.findings)

    def rows(self) -> list[dict[str, Any]]:
        """For printing."""
        return [{"name": f.check, "result": f.mark, "seen": f.seen, "remedy": f.remedy} for f in self.findings]


def examine(
    spec: str, *, log: str | None, columns: Mapping[str, str] | None, vocabulary: str | None, seed: int
) -> Examination:
    """Run every check that applies. A recommender that is not fitted yet is fitted to the log first.

    Raises:
        InputError: the model or the log cannot be used at all.
    """
    model = resolve(spec)
    rows = open_log(log, columns=columns, vocabulary=vocabulary) if log else load_dataset("flights")
    split = leave_last_out(rows)
    subject = blank = adapt(model)
    found = Examination()
    if not is_fitted(model):
        if "fit" not in capabilities(subject):
            raise InputError(f"'{spec}' is not fitted and has no fit(log, *, seed).")
        subject = adapt(cast(Fittable, subject).fit(split.train, seed=seed))
        found.findings.append(Finding("fit", "info", f"fitted to {len(split.train):,} train rows of {rows.name}"))
    found.findings += _capabilities(subject)
    found.findings.append(_catalogue(subject, rows.n_items))
    if not found.healthy:
        return found
    context = int(getattr(subject, "context", 0) or 50)
    histories = split.histories(context)
    sample = np.random.default_rng(seed).permutation(len(histories))[:SAMPLE]
    unfitted = model if "fit" in capabilities(blank) else None  # what a fit leaves need not be fitted again
    try:
        found.findings += _promises(Recommended(subject, histories[np.sort(sample)], split.train, seed, unfitted))
        found.findings += _quality(subject, split, histories)
    except ModelFault as fault:
        found.findings.append(Finding("answers", "fail", str(fault), "mend the model's recommend or score"))
    return found


def examine_attack(name: str, settings: Mapping[str, Any], *, seed: int) -> Examination:
    """Run every check of an installed attack, ours or a third party's, with these parameters.

    Raises:
        UnknownName: no such attack, or it has no such parameter. InputError: it cannot be imported.
    """
    attack = plugins.build("attacks", name, settings)
    return Examination([_finding(outcome) for outcome in check_attack(attack, seed=seed, raises=False)])


def _capabilities(subject: Recommender) -> list[Finding]:
    """What it offers, and why not the rest, where an adapter or the probe can tell."""
    offered = ", ".join(sorted(capabilities(subject)))
    through = getattr(getattr(subject, "model", None), "gradients", None)
    if isinstance(through, str) and through:
        offered += f" (gradients {through})"
    remedy = (
        "attacks that need what is absent are NOT_APPLICABLE; for want of gradients or scores, those on histories are "
        "planned on a copy made from lists instead"
    )
    return [
        Finding("capabilities", "info", offered, remedy),
        *(Finding(f"no {name}", "info", why) for name, why in sorted(lacks(subject).items())),
    ]


def _catalogue(model: Recommender, n_items: int) -> Finding:
    if int(model.n_items) == n_items:
        return Finding("catalogue", "ok", f"{n_items} items, as in the log")
    return Finding(
        "catalogue",
        "fail",
        f"the model ranks {model.n_items} items, the log has {n_items}",
        "give the model's own catalogue with --vocabulary FILE, or check for an id shift",
    )


def _promises(subject: Recommended) -> list[Finding]:
    """The conformance suite; fits are repeated on a few users only."""
    found = [_finding(check(subject)) for check in recommender_checks()]
    return [replace(f, remedy=REMEDIES.get(f.check, "")) if f.mark == "fail" else f for f in found]


def _finding(outcome: Outcome) -> Finding:
    marks: dict[str, Mark] = {"held": "ok", "broken": "fail", "not applicable": "info"}
    return Finding(outcome.check, marks[outcome.status], outcome.message)


def _quality(model: Recommender, split: Split, histories: SequenceBatch) -> list[Finding]:
    seen = Seen.of(split.train, split.users) if default_seen(split.train) == "exclude" else None
    truth = split.targets

    def hits(sequences: SequenceBatch, answer: Any, subject: Recommender = model) -> tuple[float, float]:
        ranking = rank(subject, sequences, answer, seen=seen)
        return float(per_user("hr@10", ranking).mean()), float(per_user("ndcg@10", ranking).mean())

    hr, ndcg = hits(histories, truth)
    rng = np.random.default_rng(0)
    keys = np.where(histories.items != 0, rng.random(histories.items.shape), -1.0)
    shuffled = histories.with_items(np.take_along_axis(histories.items, np.argsort(keys, axis=1), axis=1))
    shuffled_hr, _ = hits(shuffled, truth)
    findings = [Finding("clean quality", "info", f"HR@10 {hr:.3f}, NDCG@10 {ndcg:.3f} on {len(truth):,} users")]
    for name in ("popularity", "markov"):
        baseline = cast(Fittable, resolve(name)).fit(split.train, seed=0)
        base_hr, base_ndcg = hits(histories, truth, baseline)
        worse = name == "markov" and ndcg < base_ndcg
        findings.append(
            Finding(
                f"beside {name}",
                "warn" if worse else "info",
                f"HR@10 {base_hr:.3f}, NDCG@10 {base_ndcg:.3f}",
                "below first-order Markov: undertrained, or wired up wrongly" if worse else "",
            )
        )
    matters = hr - shuffled_hr
    findings.append(
        Finding(
            "order matters",
            "ok" if matters > 0.01 else "warn",
            f"HR@10 {shuffled_hr:.3f} on shuffled histories",
            "" if matters > 0.01 else "the model ignores order, or the log has none to learn",
        )
    )
    findings.append(_id_shift(model, histories, truth, seen, hr))
    return findings


def _id_shift(model: Recommender, histories: SequenceBatch, truth: Any, seen: Seen | None, hr: float) -> Finding:
    """Whether the model does better when ids are shifted by one on the way in or out."""
    n = int(model.n_items)
    best, where = hr, ""
    for shift in (-1, 1):
        shifted_in = np.where(histories.items != 0, (histories.items - 1 + shift) % n + 1, 0)
        shifted_out = ((truth - 1 + shift) % n + 1).astype(np.int32)
        for name, sequences, answer in (
            ("in", histories.with_items(shifted_in), truth),
            ("out", histories, shifted_out),
            ("in and out", histories.with_items(shifted_in), shifted_out),
        ):
            value = float(per_user("hr@10", rank(model, sequences, answer, seen=seen)).mean())
            if value > best + 0.05:
                best, where = value, f"ids shifted by {shift:+d} on the way {name}"
    if where:
        return Finding(
            "id shift", "fail", f"HR@10 {best:.3f} with {where}, {hr:.3f} without", "items are 1…n, 0 is padding"
        )
    return Finding("id shift", "ok", "no shift of ids by one does better")
