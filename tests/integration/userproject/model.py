"""Two recommenders for a shop whose customers walk from item to item."""

from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np


class Popular:
    """The shop's favourites, the same for everybody: nothing that a customer does can change them."""

    n_items = 0

    def fit(self, log, *, seed):
        fitted = type(self)()
        fitted.n_items = log.n_items
        fitted.learn(log)
        return fitted

    def learn(self, log):
        self.order = (np.argsort(-log.popularity[1:], kind="stable") + 1).astype(np.int32)

    def recommend(self, sequences, k):
        return np.tile(self.order[:k], (len(sequences), 1))


class Next(Popular):
    """What most often followed the newest item: better, until somebody touches that item."""

    def learn(self, log):
        super().learn(log)
        follows = defaultdict(Counter)
        for user in range(log.n_users):
            items = log.item[log.offsets[user] : log.offsets[user + 1]].tolist()
            for before, after in pairwise(items):
                follows[before][after] += 1
        self.lists = {}
        for item in range(log.n_items + 1):
            first = [after for after, _ in follows[item].most_common()]
            self.lists[item] = first + [i for i in self.order.tolist() if i not in first]

    def recommend(self, sequences, k):
        return np.array([self.lists[item][:k] for item in sequences.items[:, -1].tolist()], dtype=np.int32)
