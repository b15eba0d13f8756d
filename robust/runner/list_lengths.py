"""Whether an endpoint's lists are long enough to leave ten items once those that a user has already are taken out.

Nobody can ask for more than the endpoint's `k`. Some endpoints leave out what a user has themselves, so that k = 10
would do; so a few users are asked about, and only what is seen there is held against it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from robust.errors import EndpointFault, InputError
from robust.log import Int64
from robust.recommenders.adapters.http.description import Endpoint, reopened
from robust.recommenders.adapters.http.ledger import QueriesSpent
from robust.runner.ground import LIST_LENGTH, Victim
from robust.runner.prepare import Prepared
from robust.runner.rehearsal import endpoints_of
from robust.seen import Seen

ASKED = 64
FEW = 0.05
"""The share of users whose lists may be cut; what stands below counts as a miss. Above it, nothing is measured."""


def check_list_lengths(prepared: Prepared) -> list[str]:
    """What a report has to say of lists that are cut for a few users; nothing is asked where k is surely enough.

    Raises:
        InputError: the lists are cut for more than a few, or the endpoint does not answer.
    """
    if prepared.seen != "exclude":
        return []
    said = []
    most = int(np.diff(prepared.holdings.offsets).max(initial=0))
    enough = min(LIST_LENGTH + most, prepared.log.n_items)
    for victim in prepared.victims:
        endpoint = endpoints_of(prepared.scenario).get(victim.spec.name)
        if endpoint is None or not endpoint.answers_lists or endpoint.k >= enough:
            continue
        users = prepared.split.users
        if len(users) > ASKED:
            users = np.sort(np.random.default_rng(0).choice(users, size=ASKED, replace=False))
        cut = _cut(prepared, victim, endpoint, users)
        if not cut:
            continue
        fact = (
            f"The lists of {victim.spec.name} hold k = {endpoint.k} items. Without those that a user has already, "
            f"{cut} of {len(users)} users asked about are left with fewer than {LIST_LENGTH} items"
        )
        if cut > FEW * len(users):
            raise InputError(
                f"{fact}, and what stands below would count as a miss. Say k: {enough} in it ({LIST_LENGTH} and the "
                "most items that a user has) if the endpoint answers as many, have it leave out what a user has, or "
                "say `seen: keep` in the scenario. Nothing was measured."
            )
        said.append(f"{fact}; what stands below counts as a miss (k: {enough} would be enough for all).")
    return said


def _cut(prepared: Prepared, victim: Victim, endpoint: Endpoint, users: Int64) -> int:
    """How many of these users are left with too few items; a list that is shorter than k was not cut by us."""
    train = prepared.split.train
    lists = reopened(endpoint, Path(victim.spec.name).parent)
    try:
        found = lists.recommend(train.sequences(victim.context, users), endpoint.k)
    except (EndpointFault, QueriesSpent) as error:
        raise InputError(f"{error} It was asked whether its lists are long enough; nothing was measured.") from error
    held = Seen.of(train, users).padded(0, len(users))
    left = endpoint.k - (found[:, :, None] == held[:, None, :]).any(axis=2).sum(axis=1)
    return int(((found[:, -1] != 0) & (left < LIST_LENGTH)).sum())
