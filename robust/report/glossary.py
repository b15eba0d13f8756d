"""What the words of a report mean, for somebody who reads one without its documentation: only those that it uses."""

from __future__ import annotations

import re
from collections.abc import Iterator

from robust.metrics.registry import metric_name
from robust.report.text import planning
from robust.runner.results import Results

_METRICS = {  # the name without its list length → what it is, with {k} for that
    "ndcg": "how near the top of its list of {k} each user's true next item stands, from 0 to 1, as a mean over users",
    "hr": "the share of users whose true next item is in their list of {k}",
    "mrr": "one over the place of the true next item in a list of {k}, as a mean over users",
    "target_hr": "the share of users in whose list of {k} an item stands that the attacker promotes or demotes, as a "
    "mean over these items; users who have the item already do not count",
}
_DRAWN = {
    "cold": "drawn anew for each seed from the fifth of the items with the fewest train rows, but some",
    "popular": "drawn anew for each seed from the fifth of the items with the most train rows",
    "any": "drawn anew for each seed from all items",
}
_PLANNING = {
    "model-blind": "the attack never looks at a model",
    "oblivious": "the attack does not know of the defence",
    "adaptive": "the attack knows the defence and is planned against it",
    "transfer": "the attack is planned on a surrogate, a model of the attacker's own, and tried on the victim",
}
_EPSILON = (
    "how far an embedding, the vector by which the model knows an item, may be moved: 1 is the median distance from an "
    "item's embedding to the nearest other one, unless absolute is said"
)


def words(results: Results) -> list[tuple[str, str]]:
    """(term, meaning) of what this report says without explaining it where it stands."""
    return list(dict(_found(results)).items())


def _found(results: Results) -> Iterator[tuple[str, str]]:
    yield "Victim", "the recommender that is attacked; one is fitted for each seed, unless the model is a fixed one"
    for bound in (cell.bound for cell in results.cells):
        name, _, k = bound.metric.partition("@")
        if name in _METRICS:
            yield metric_name(bound.metric), _METRICS[name].format(k=k)
        if bound.kind == "rise":
            yield "pp", "percentage points: a share that goes from 1% to 3% has risen by 2 pp"
    for cell in results.cells:
        for kind, count in re.findall(r"\b(cold|popular|any)\*(\d+)", cell.goal):
            yield f"{kind}*{count}", f"{count} items, {_DRAWN[kind]}"
        if cell.budget.startswith("ε"):
            yield "ε", _EPSILON
    for cell in results.cells:
        if (term := planning(cell)) in _PLANNING:
            yield term, _PLANNING[term]
    names = [cell.defense for cell in results.cells if cell.defense != "none"]
    both = "an attack or a defence" if names else "an attack"
    yield "Names", f"robust show NAME tells what {both} of this name does, its parameters and the paper that it is from"
