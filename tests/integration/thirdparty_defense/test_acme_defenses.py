from pathlib import Path

from acme_defenses import KnownPairs

from robust.log import InteractionLog, SequenceBatch
from robust.testing.conformance import check_defense


def test_it_keeps_its_promises():
    check_defense(KnownPairs())


def test_strangers_by_hand():
    # neighbours in the train rows: 1-2 and 2-3 twice each, 3-4 once
    log = InteractionLog.from_columns([0, 0, 0, 0, 1, 1, 1], [1, 2, 3, 4, 1, 2, 3], [1, 2, 3, 4, 1, 2, 3], n_items=5)
    given = SequenceBatch([[1, 2, 3, 4], [1, 5, 2, 3], [0, 1, 2, 5], [0, 0, 5, 4]])
    assert KnownPairs().calibrate(log, seed=0).guard(given).tolist() == [
        [1, 2, 3, 4],
        [0, 0, 2, 3],  # 5 is a stranger, and leaves 1 without anybody it knows
        [0, 1, 2, 0],
        [0, 0, 5, 4],  # of two that do not fit, nobody can say which is wrong
    ]
    assert KnownPairs(fewest=2).calibrate(log, seed=0).guard(given).tolist()[0] == [1, 2, 3, 0]


def test_it_helps_against_who_does_not_know_it(robust_review, tmp_path):
    cells = robust_review(Path(__file__).with_name("known_pairs.yaml"), out=tmp_path, engine="serial").cells
    change = {(cell.defense, cell.planned_on): cell.metrics["ndcg@10"].change for cell in cells}
    assert change["known-pairs", "plain"] < change["none", "plain"] - 0.05
    assert change["known-pairs", "protected"] > change["known-pairs", "plain"]
