"""The KServe adapter against MLServer itself, which pins other versions than ours and so lives in its own environment.

`make validate-endpoints` makes that environment and runs this file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from robust.log import SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from tests.integration.servers.recommender import Model
from tests.integration.servers.start import free_port

N_ITEMS = 60


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLServer with our runtime."""
    program = os.environ.get("ROBUST_MLSERVER", "")
    if not Path(program).is_file():
        pytest.fail("ROBUST_MLSERVER must name the program mlserver: make validate-endpoints", pytrace=False)
    folder = tmp_path_factory.mktemp("mlserver") / "model"
    shutil.copytree(Path(__file__).with_name("mlserver_model"), folder)
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    (folder / "settings.json").write_text(json.dumps({"host": "127.0.0.1", "parallel_workers": 0, **ports}))
    with subprocess.Popen(
        [program, "start", "."], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        try:
            address = f"http://127.0.0.1:{ports['http_port']}"
            until = time.monotonic() + 60
            while time.monotonic() < until:
                try:
                    if httpx.get(f"{address}/v2/models/ranker/ready").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.2)
            yield address
        finally:
            run.terminate()


@pytest.mark.parametrize("outputs", ["scores: scores", "items: top\nk: 20"])
def test_answers_are_those_of_the_model_behind_it(url: str, outputs: str, tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(f"adapter: kserve\nurl: {url}\nmodel: ranker\nn_items: 60\npadding: {{length: 8}}\n{outputs}\n")
    recommender: Any = adapt(open_adapter(file))
    sequences, model = SequenceBatch(np.random.default_rng(0).integers(1, N_ITEMS + 1, size=(300, 8))), Model(N_ITEMS)
    rows = sequences.items.tolist()
    if "scores" in outputs:
        expected = np.stack([model.score(row) for row in rows])
        np.testing.assert_allclose(recommender.score(sequences)[:, 1:], expected[:, 1:], rtol=1e-6)
    else:
        expected = np.array([model.best(row, 20) for row in rows])
        np.testing.assert_array_equal(recommender.recommend(sequences, 20), expected)
