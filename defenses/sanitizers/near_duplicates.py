"""Near-duplicate profiles, found by MinHash: fake users are written by one program, genuine ones are not.

Broder, "On the Resemblance and Containment of Documents", SEQUENCES 1997; neighbours as in Bawa, Condie and Ganesan,
"LSH Forest: Self-Tuning Indexes for Similarity Search", WWW 2005. A profile is a set twice: of its items, and of its
pairs of consecutive items (bigrams). The least of the random numbers that a set's elements draw is another set's least
with probability J(u, v) = |u ∩ v| / |u ∪ v|, so that the share of equal minima among `permutations` draws estimates J
with standard deviation √(J(1 − J) / permutations). Profiles are sorted by their minima, anew from every fourth, and
each is compared with the next `NEIGHBOURS` of each order, so that there are no large buckets to pay for. Those with an
estimate of at least `jaccard` (items) or `ordered` (bigrams, of which far fewer are shared by chance) are linked, and
connected ones are a cluster C. With s the resemblance to the nearest profile met, by items or by bigrams times
jaccard / ordered, whichever is more, and m the median of s over users,

    suspicion_u = max(s_u, m) + r_C · log₂|C|,    r_C = max_i |C_i| / |C| · |C_i| / holders of i,    C_i: holders in C;

a cluster counts if it is large and has an item almost to itself, as one that pushes an item has. In no cluster there is
the first term alone; m, since to be less like others than most are does not show who is genuine.

Known deviations: J is shrunk to |u ∩ v| / (|u ∪ v| + 2), as if each profile held one more element that nobody else has,
since two profiles of one popular item are alike by chance. The suspicion is ours. Of many equally near profiles only
some are compared: a link may be missed, a cluster seldom is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from robust.defense import Detector
from robust.defenses.sanitizers.contents import contents
from robust.log import Int64, InteractionLog

BAND = 4
"""Minima between the beginnings of two orders; each order sorts by twice as many."""

NEIGHBOURS = 4
"""How many of the next profiles in an order each is compared with."""

Float = NDArray[np.float64]


class NearDuplicates(Detector):
    """Suspects clusters of users with nearly the same profile.

    Attributes:
        jaccard: profiles that share so much of their items, estimated and shrunk, are linked.
        ordered: the same of their pairs of consecutive items.
        permutations: how many minima describe a profile, a multiple of four.
    """

    name: ClassVar[str] = "near-duplicates"
    source: ClassVar[str] = "Broder, SEQUENCES 1997; Bawa, Condie and Ganesan, WWW 2005; suspicion ours"
    assumptions: ClassVar[str] = "Fake users share most of what they hold, or most of its order, with one another."
    weaknesses: ClassVar[str] = (
        "Random filler dilutes what fakes share: with 10% common items they are less like one another than genuine "
        "users are, and less suspected. Genuine users of few, equal items are alike, and so are those who follow one "
        "list in its order, as in logs that were filled from a page of suggestions."
    )

    jaccard: float = Field(default=0.5, gt=0, le=1)
    ordered: float = Field(default=0.25, gt=0, le=1)
    permutations: int = Field(default=128, ge=BAND, multiple_of=BAND)

    def suspicion(self, log: InteractionLog, rng: np.random.Generator) -> Float:
        """float64 [n_users], from 0; −1, the least, for users without rows."""
        suspicion = np.full(log.n_users, -1.0)
        active = log.lengths > 0
        if not active.any():
            return suspicion
        nearest, links, tie = np.zeros(log.n_users), [], contents(log)
        for sets, least in ((Sets.of_items(log), self.jaccard), (Sets.of_bigrams(log), self.ordered)):
            found, linked = compare(sets, sets.minima(self.permutations, rng), tie[sets.users], least)
            nearest[sets.users] = np.maximum(nearest[sets.users], found * self.jaccard / least)
            links.append(linked)
        own = np.maximum(nearest, np.median(nearest[active])) + _clusters(log, np.concatenate(links, axis=1))
        suspicion[active] = own[active]
        return suspicion


@dataclass(frozen=True)
class Sets:
    """A set for each of some users.

    Attributes:
        users: int64 [U], who has a set that is not empty, increasing. starts: int64 [U], where each set begins.
        sizes: int64 [U]. element: int64 [M], 0…elements − 1, set after set, none twice in a set.
        elements: how many there are in all.
    """

    users: Int64
    starts: Int64
    sizes: Int64
    element: Int64
    elements: int

    @classmethod
    def of(cls, user: NDArray[Any], value: Int64) -> Sets:
        """The set of values of each user that has one."""
        known, dense = np.unique(value, return_inverse=True)
        owner, element = np.divmod(np.unique(user.astype(np.int64) * max(len(known), 1) + dense), max(len(known), 1))
        users, starts, sizes = np.unique(owner, return_index=True, return_counts=True)
        return cls(users, starts.astype(np.int64), sizes.astype(np.int64), element, len(known))

    @classmethod
    def of_items(cls, log: InteractionLog) -> Sets:
        """The items of each user."""
        return cls.of(log.user, log.item.astype(np.int64))

    @classmethod
    def of_bigrams(cls, log: InteractionLog) -> Sets:
        """The ordered pairs of consecutive items of each user."""
        same = log.user[1:] == log.user[:-1]
        pair = log.item[:-1].astype(np.int64) * (log.n_items + 1) + log.item[1:]
        return cls.of(log.user[1:][same], pair[same])

    def minima(self, count: int, rng: np.random.Generator) -> NDArray[np.uint32]:
        """uint32 [U, count]: the entries of two sets in a column are equal with the probability of their Jaccard index.

        Of 2³² numbers that the elements draw, some are the same; that two sets' minima are by this is negligible.
        """
        minima = np.empty((len(self.users), count), dtype=np.uint32)
        for column in range(count if len(self.users) else 0):
            drawn = rng.integers(1 << 32, size=self.elements, dtype=np.uint32)
            minima[:, column] = np.minimum.reduceat(drawn[self.element], self.starts)
        return minima


def compare(
    sets: Sets, minima: NDArray[np.uint32], tie: NDArray[np.uint64], least: float
) -> tuple[Float, NDArray[np.int64]]:
    """How much each set resembles the nearest that it met, [U], and the users of linked pairs, [2, links].

    Args:
        tie: [U], what sets with equal minima are ordered by. least: the resemblance that links.
    """
    nearest = np.zeros(len(minima))
    links = [np.zeros((2, 0), dtype=np.int64)]
    for first in range(0, minima.shape[1], BAND):
        columns = (first + np.arange(2 * BAND)) % minima.shape[1]
        order = np.lexsort((tie, *minima[:, columns[::-1]].T))
        ordered = minima[order]
        for step in range(1, min(NEIGHBOURS, len(order) - 1) + 1):
            one, two = order[:-step], order[step:]
            equal = np.count_nonzero(ordered[:-step] == ordered[step:], axis=1) / minima.shape[1]
            union = (sets.sizes[one] + sets.sizes[two]) / (1 + equal)
            found = equal * union / (union + 2)
            nearest[one] = np.maximum(nearest[one], found)
            nearest[two] = np.maximum(nearest[two], found)
            linked = found >= least
            links.append(sets.users[np.stack([one[linked], two[linked]])])
    return nearest, np.concatenate(links, axis=1)


def _clusters(log: InteractionLog, links: NDArray[np.int64]) -> Float:
    """float64 [n_users], r_C · log₂|C|; 0 for users without a link."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(links.shape[1]), (links[0], links[1])), shape=(log.n_users, log.n_users))
    count, cluster = connected_components(graph, directed=False)
    size = np.bincount(cluster, minlength=count)
    rows = size[cluster[log.user]] > 1
    base = log.n_items + 1
    user, item = np.divmod(np.unique(log.user[rows].astype(np.int64) * base + log.item[rows]), base)
    held, within = np.unique(cluster[user].astype(np.int64) * base + item, return_counts=True)
    where, what = np.divmod(held, base)
    rare = np.zeros(count)
    np.maximum.at(rare, where, within / size[where] * (within / log.holders[what]))
    return np.asarray((rare * np.log2(size))[cluster], dtype=np.float64)
