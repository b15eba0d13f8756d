"""A model behind an address, as an object with `n_items` and `recommend` or `score`."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robust.errors import InputError, ModelFault, RobustError
from robust.log import Int32, SequenceBatch
from robust.recommenders.adapters.http import loop
from robust.recommenders.adapters.http.cache import AnswerCache
from robust.recommenders.adapters.http.client import Client
from robust.recommenders.adapters.http.ledger import Ledger, QueriesSpent
from robust.recommenders.adapters.http.numbering import Numbering
from robust.recommenders.protocols import Float32

PROBES = 4
"""Sequences asked twice when an endpoint is opened: one that answers them differently is not cached."""


@dataclass(frozen=True)
class Protocol:
    """What differs from one kind of server to the next.

    Attributes:
        path: of a question, below the address. numbering: ids and padding.
        body: the request for sequences in the model's ids, with their lengths.
        items, scores: where an answer, for so many sequences, holds lists of ids and scores; None where it has none.
        k: how many items an endpoint's lists hold. may_be_short: they may hold fewer.
        batch_size: sequences a request.
    """

    path: str
    numbering: Numbering
    body: Callable[[list[list[Any]], list[int]], Any]
    items: Callable[[Any, int], Any] | None
    scores: Callable[[Any, int], Any] | None
    k: int
    may_be_short: bool
    batch_size: int


class Link:
    """The connection of this process; made at the first question, and anew in a forked child."""

    def __init__(self, connect: Callable[[], Client]) -> None:
        self._connect, self._process = connect, 0
        self._client: Client | None = None

    async def client(self) -> Client:
        """The client, made within the loop that uses it."""
        if self._client is None or self._process != os.getpid():
            self._client, self._process = self._connect(), os.getpid()
            weakref.finalize(self, _close, self._client)
        return self._client


def _close(client: Client) -> None:
    loop.finish(client.close())


class Remote:
    """What both kinds share.

    Args:
        digest: of the description; part of the fingerprint.
        reopen: makes this object again in another process.
    """

    def __init__(
        self,
        digest: str,
        protocol: Protocol,
        link: Link,
        ledger: Ledger,
        cache_bytes: int,
        reopen: tuple[Callable[..., Remote], tuple[Any, ...]],
    ) -> None:
        self.n_items = protocol.numbering.n_items
        self.context = protocol.numbering.length
        self.description = digest
        self._protocol, self._link, self._ledger, self._reopen = protocol, link, ledger, reopen
        self._cache = AnswerCache(cache_bytes)

    def __deepcopy__(self, memo: dict[int, Any]) -> Remote:
        return self  # connections and remembered answers, and no state of its own

    def __reduce__(self) -> tuple[Callable[..., Remote], tuple[Any, ...]]:
        return self._reopen

    @property
    def queries(self) -> int:
        """Sequences asked in this run, by all its processes, retries included."""
        return self._ledger.spent()[0]

    @property
    def requests(self) -> int:
        """Requests sent in this run, by all its processes, retries included."""
        return self._ledger.spent()[1]

    def check(self) -> None:
        """Ask a few sequences twice.

        Where the answers differ, none is remembered from then on, so that whoever looks for that finds it.

        Raises:
            InputError: the endpoint cannot be reached, does not answer as the description says, or may not be asked.
        """
        rng = np.random.default_rng(0)
        width = min(5, self.context or 5)
        probes = SequenceBatch(rng.integers(1, self.n_items + 1, size=(PROBES, width)))
        try:
            first, second = (self._fresh(probes) for _ in range(2))
        except QueriesSpent as error:
            raise InputError(str(error)) from error
        except ModelFault as error:
            raise InputError(
                f"{error} Nothing was measured. See that it is up, and that the description fits it."
            ) from error
        if not np.array_equal(first, second):
            self._cache = AnswerCache(0)

    def _fresh(self, sequences: SequenceBatch) -> NDArray[Any]:
        """The answers of the endpoint itself."""
        return np.stack(loop.run(self._asked(sequences, lambda row, answer: None)))

    def _answers(self, sequences: SequenceBatch) -> NDArray[Any]:
        """[B, …], each distinct sequence asked once, if it was not before; what was answered before a fault is kept."""
        if len(sequences) == 0:
            return self._stacked([])
        newest = sequences.truncate(self.context) if self.context else sequences
        distinct, inverse = np.unique(newest.items, axis=0, return_inverse=True)
        keys = [row[row != 0].tobytes() for row in distinct]
        found = [self._cache.get(key) for key in keys]
        missing = [place for place, answer in enumerate(found) if answer is None]
        if missing:
            wanted = SequenceBatch(distinct[missing])
            new = loop.run(self._asked(wanted, lambda row, answer: self._cache.put(keys[missing[row]], answer)))
            for place, answer in zip(missing, new, strict=True):
                found[place] = answer
        return self._stacked([answer for answer in found if answer is not None])[inverse.reshape(-1)]

    async def _asked(self, sequences: SequenceBatch, keep: Callable[[int, NDArray[Any]], None]) -> list[NDArray[Any]]:
        """One answer a row; the first fault stops the requests that have not been sent."""
        client = await self._link.client()
        size, protocol = self._protocol.batch_size, self._protocol
        answers: dict[int, NDArray[Any]] = {}

        starts = iter(range(0, len(sequences), size))

        async def one_after_another() -> None:
            for start in starts:
                part = sequences[start : start + size]
                outgoing, lengths = protocol.numbering.outgoing(part)
                answer = await client.ask(protocol.path, protocol.body(outgoing, lengths), len(part))
                try:
                    rows = self._read(answer, len(part))
                except ModelFault as error:
                    raise client.fault(str(error)) from error
                for row, found in enumerate(rows, start=start):
                    answers[row] = found.copy()  # a view would keep its whole batch alive in the cache
                    keep(row, answers[row])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(client.concurrency):  # so that only so many bodies exist at a time
                    group.create_task(one_after_another())
        except BaseExceptionGroup as several:
            first: BaseException = several
            while isinstance(first, BaseExceptionGroup):
                first = next((e for e in first.exceptions if isinstance(e, RobustError)), first.exceptions[0])
            raise first from None
        return [answers[row] for row in range(len(sequences))]

    def _read(self, answer: Any, rows: int) -> NDArray[Any]:
        raise NotImplementedError

    def _stacked(self, answers: list[NDArray[Any]]) -> NDArray[Any]:
        raise NotImplementedError


class RemoteScores(Remote):
    """An endpoint that scores all items."""

    def score(self, sequences: SequenceBatch) -> Float32:
        """float32 [B, n_items + 1]; column 0 is −inf.

        Raises:
            ModelFault: it does not answer, or wrongly.
            QueriesSpent: the budget does not allow the request.
        """
        return self._answers(sequences).astype(np.float32, copy=False)

    def _read(self, answer: Any, rows: int) -> NDArray[Any]:
        where = self._protocol.scores
        return self._protocol.numbering.scores(None if where is None else where(answer, rows), rows)

    def _stacked(self, answers: list[NDArray[Any]]) -> NDArray[Any]:
        return np.stack(answers) if answers else np.zeros((0, self.n_items + 1), np.float32)


class RemoteLists(Remote):
    """An endpoint that names its best items, with or without their scores."""

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        """int32 [B, k], best first; 0 behind the `k` that the endpoint answers.

        Raises:
            ModelFault: it does not answer, or wrongly.
            QueriesSpent: the budget does not allow the request.
        """
        lists = np.zeros((len(sequences), k), dtype=np.int32)
        answered = self._answers(sequences)[:, :k]
        lists[:, : answered.shape[1]] = answered
        return lists

    def _read(self, answer: Any, rows: int) -> NDArray[Any]:
        protocol = self._protocol
        assert protocol.items is not None  # what makes it an endpoint of lists
        found = protocol.items(answer, rows)
        if protocol.scores is not None:
            found = by_score(found, protocol.scores(answer, rows))
        return protocol.numbering.lists(found, rows, protocol.k, protocol.may_be_short)

    def _stacked(self, answers: list[NDArray[Any]]) -> NDArray[Any]:
        return np.stack(answers) if answers else np.zeros((0, self._protocol.k), np.int32)


def by_score(lists: Any, scores: Any) -> list[list[Any]]:
    """Each list, highest score first; equal scores keep their order.

    Raises:
        ModelFault: the two do not have the same form, or a score is no number.
    """
    try:
        pairs = [list(zip(items, own, strict=True)) for items, own in zip(lists, scores, strict=True)]
        if any(score != score for pair in pairs for _, score in pair):
            raise ModelFault("answered NaN among the scores of its lists")
        return [[item for item, _ in sorted(pair, key=lambda one: -float(one[1]))] for pair in pairs]
    except (TypeError, ValueError) as error:
        raise ModelFault("answered lists and scores that do not go together, number for number") from error
