"""Counterexamples: as small as they get, readable, kept, and tried again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from robust.attacks.evasion.worst_case import WorstCase
from robust.bounds import BoundBroken, assert_bounded_degradation
from robust.corpus import read_corpus, replay, save
from robust.counterexamples import Counterexample, StillBroken
from robust.datasets import synthetic
from robust.edits import Edit
from robust.errors import InputError
from robust.log import Int32, InteractionLog, SequenceBatch
from robust.recommenders.baselines import Markov, Popularity


class Fragile:
    """The same list for everybody, 20 to 1, unless item 9 stands anywhere: then it is turned round."""

    n_items = 20

    def __init__(self, cured: bool = False) -> None:
        self.cured = cured

    def recommend(self, sequences: SequenceBatch, k: int) -> Int32:
        turned = (sequences.items == 9).any(axis=1, keepdims=True) & (not self.cured)
        return np.where(turned, np.arange(1, k + 1), np.arange(20, 20 - k, -1)).astype(np.int32)


@pytest.fixture
def log() -> InteractionLog:
    """400 users whose next item is one of three; nobody holds item 9."""
    rng = np.random.default_rng(0)
    items = np.column_stack([rng.integers(10, 21, size=(400, 4)), rng.integers(18, 21, size=400)])
    return InteractionLog.from_columns(
        np.repeat(np.arange(400), 5), items.ravel(), np.tile(np.arange(5), 400), n_items=20
    )


def broken(log: InteractionLog, folder: Path | None = None, reveal: bool = False) -> str:
    search = WorstCase(evaluations=30)
    with pytest.raises(BoundBroken) as caught:
        assert_bounded_degradation(Fragile(), log, attack=search, budget={"edits": 3}, corpus=folder, reveal=reveal)
    return str(caught.value)


def test_the_message_holds_the_smallest_attack_and_how_to_try_it_again(log: InteractionLog) -> None:
    said = broken(log)
    assert "NDCG@10 drops by at most 10%: broken" in said
    assert "on 400 users, one fixed model, seed 0" in said
    assert "1 edit of a history" in said
    assert "\n+ item 9\n" in said
    assert "rank 1 before, none after" in said
    assert 'python -m pytest "' in said
    assert "test_the_message_holds_the_smallest" in said, "the test that is running"


def test_the_pasted_test_is_red_on_this_model_and_green_on_a_cured_one(log: InteractionLog) -> None:
    said = broken(log)
    source = said[said.index("from robust.counterexamples") :]
    scope: dict[str, object] = {}
    exec(compile(source, "pasted", "exec"), scope)
    (test,) = [value for name, value in scope.items() if name.startswith("test_counterexample_")]
    assert callable(test)
    with pytest.raises(StillBroken, match=r"falls from rank 1 to none"):
        test(Fragile())
    test(Fragile(cured=True))


def test_users_and_items_are_pseudonymous_unless_asked(log: InteractionLog) -> None:
    named = InteractionLog(
        log.user,
        log.item,
        log.timestamp,
        log.n_users,
        log.n_items,
        user_ids=np.array([f"alice-{u}" for u in range(400)]),
        item_ids=np.array([f"film {i}" for i in range(1, 21)]),
    )
    assert "film" not in broken(named)
    revealed = broken(named, reveal=True)
    assert "+ film 9" in revealed
    assert "alice" not in revealed


def test_a_counterexample_is_kept_and_tried_first_from_then_on(log: InteractionLog, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    said = broken(log, folder)
    (file,) = folder.glob("*.json")
    assert str(file) in said
    record = json.loads(file.read_text("utf-8"))
    assert record["edits"] == ["insert 9 after the newest item"] or "9" in record["edits"][0]
    assert "alice" not in file.read_text("utf-8")
    # an attack that would never find it: the corpus does
    with pytest.raises(BoundBroken, match=r"attack +corpus, 3 edits; 1 from the corpus"):
        assert_bounded_degradation(Fragile(), log, budget={"edits": 3}, corpus=folder)
    assert len(list(folder.glob("*.json"))) == 1
    kept = assert_bounded_degradation(Fragile(cured=True), log, budget={"edits": 1}, corpus=folder)
    assert kept.replayed == 1


def test_a_corpus_is_read_back_as_written(tmp_path: Path) -> None:
    example = Counterexample(
        history=(1, 2, 3), attacked=(1, 9, 3), next_item=4, seen=(1, 2), rank_before=3, limit=0.2, metric="hr@5"
    )
    save(example, tmp_path)
    assert read_corpus(tmp_path) == [example]
    attack = replay([example, example])
    assert attack is not None
    assert attack.scripts == ((Edit("replace", 2, 9),),)
    assert read_corpus(tmp_path / "none yet") == []
    assert replay([]) is None
    (tmp_path / "broken.json").write_text('{"history": []}', encoding="utf-8")
    with pytest.raises(InputError, match=r"broken.json.*Mend it, or delete it"):
        read_corpus(tmp_path)


def test_a_diff_reads_like_a_diff() -> None:
    example = Counterexample(history=(1, 2, 3, 4, 5, 6), attacked=(1, 2, 3, 9, 5, 6, 8), next_item=4)
    assert example.diff().splitlines() == [
        "  … 1 older", "  item 2", "  item 3", "- item 4", "+ item 9", "  item 5", "  item 6", "+ item 8",
    ]  # fmt: skip
    assert Counterexample(history=(1, 2), attacked=(2,), next_item=1).diff(["a", "b"]).splitlines() == [
        "  (the beginning)", "- a", "  b",
    ]  # fmt: skip


def test_excluded_items_stay_excluded() -> None:
    log = synthetic.load()
    model = Markov().fit(log, seed=0)
    sequence = log.sequences(5).items[0]
    first = int(model.recommend(SequenceBatch(sequence[None]), 1)[0, 0])
    kept = Counterexample(history=tuple(sequence), attacked=tuple(sequence), next_item=first)
    assert kept.ranks(model) == (1, 1)
    assert kept.drop(model) == 0
    excluded = kept.model_copy(update={"seen": (first,)})
    assert excluded.ranks(model) == (None, None)
    assert excluded.drop(Popularity().fit(log, seed=0)) == 0


def test_embedding_attacks_have_no_edits_to_show() -> None:
    from robust.recommenders.recurrent import GRU4Rec

    log = synthetic.load()
    small = GRU4Rec(context=10, dimension=8, max_steps=60, min_steps=60, batch_size=32)
    with pytest.raises(BoundBroken) as caught:
        assert_bounded_degradation(small, log, attack="pgd", budget={"epsilon": 50.0}, max_drop=0.01)
    assert "smallest attack" not in str(caught.value)
    assert "ε = 50" in str(caught.value)
