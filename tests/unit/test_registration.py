"""What Hypothesis loads from us when it is imported: profiles and types, and nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from robust.log import InteractionLog, SequenceBatch

PROBE = """
import json, sys
{imports}
from hypothesis import settings
from hypothesis import strategies as st
found = {{"numpy": "numpy" in sys.modules, "torch": "torch" in sys.modules, "log": "robust.log" in sys.modules}}
from hypothesis.errors import InvalidArgument
try:
    found["ci"] = settings.get_profile("robust-ci").derandomize
except InvalidArgument:
    found["ci"] = None
from robust.log import InteractionLog
found["drawn"] = repr(st.from_type(InteractionLog))
print(json.dumps(found))
"""


def probe(imports: str, **environment: str) -> dict[str, object]:
    code = PROBE.format(imports=imports)
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    )
    found: dict[str, object] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize("imports", ["import hypothesis", "import robust.log, hypothesis", "import hypothesis, robust"])
def test_types_and_profiles_are_there_in_either_order(imports: str) -> None:
    found = probe(imports)
    assert found["ci"] is True
    assert "interaction_logs()" in str(found["drawn"])
    if "log" not in imports:
        assert not found["numpy"], "whoever only imports Hypothesis waits for nothing of ours"
    assert not found["torch"]


def test_the_off_switch_of_hypothesis_is_honoured() -> None:
    found = probe("import hypothesis", HYPOTHESIS_NO_PLUGINS="1")
    assert found["ci"] is None
    assert "interaction_logs()" not in str(found["drawn"])


@given(st.from_type(InteractionLog), st.from_type(SequenceBatch))
@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
def test_the_types_are_drawn(log: InteractionLog, batch: SequenceBatch) -> None:
    assert len(log) >= 1
    assert batch.items.ndim == 2
