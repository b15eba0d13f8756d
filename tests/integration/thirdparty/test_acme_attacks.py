from pathlib import Path

import pytest
from acme_attacks import LeadIn, leading_items

from robust.errors import NotApplicable
from robust.log import InteractionLog
from robust.testing.conformance import Attacked, attack_checks


@pytest.mark.parametrize("check", attack_checks(), ids=str)
def test_it_keeps_its_promises(check):
    outcome = check(Attacked(LeadIn()))
    assert outcome.status != "broken", outcome.message


def test_leads_by_hand():
    # 1→3, 1→3, 1→2 and 2→3: lead(1) = 2/(3 + 1), lead(2) = 1/(1 + 1); the first of equals comes first
    log = InteractionLog.from_columns([0, 0, 1, 1, 2, 2, 2], [1, 3, 1, 3, 1, 2, 3], [1, 2, 1, 2, 1, 2, 3], n_items=4)
    assert leading_items(log, (3,)).tolist() == [1, 2]
    assert leading_items(log, (2,)).tolist() == [1]
    with pytest.raises(NotApplicable, match="nothing leads to it"):
        leading_items(log, (4,))


def test_it_beats_its_control(robust_review, tmp_path):
    (cell,) = robust_review(Path(__file__).with_name("lead_in.yaml"), out=tmp_path, engine="serial").cells
    assert cell.control.attack == "random-substitution"
    assert cell.metrics["target_hr@10"].change > cell.control.change + 0.1
    assert cell.flags == []
