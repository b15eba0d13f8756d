"""The KServe adapter against servers that people run: MLServer, and that of the KServe SDK.

Both ask for other versions than ours, so each lives in an environment of its own: `make validate-endpoints` makes them
and runs this file.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
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
SERVERS = Path(__file__).with_name("model_servers")


def mlserver(program: str, port: int, folder: Path) -> list[str]:
    """How MLServer is started in a folder."""
    shutil.copytree(SERVERS / "mlserver", folder, dirs_exist_ok=True)
    others = {name: free_port() for name in ("grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "http_port": port, **others}
    (folder / "settings.json").write_text(json.dumps(settings))
    return [program, "start", "."]


def kserve(program: str, port: int, folder: Path) -> list[str]:
    """How the SDK's server is started, by the Python that has the SDK."""
    shutil.copy(SERVERS / "kserve_server.py", folder)
    return [program, "kserve_server.py", str(port)]


@pytest.fixture(scope="module", params=[("ROBUST_MLSERVER", mlserver), ("ROBUST_KSERVE", kserve)], ids=lambda p: p[0])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of each kind, ready to be asked."""
    variable, command = request.param
    program = os.environ.get(variable, "")
    if not Path(program).is_file():
        pytest.fail(f"{variable} must name a program: make validate-endpoints", pytrace=False)
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    shutil.copy(SERVERS / "ranking.py", folder)
    address = f"http://127.0.0.1:{port}"
    words = command(program, port, folder)
    with subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        try:
            wait_until_ready(f"{address}/v2/models/ranker/ready")
            yield address
        finally:
            run.terminate()


def wait_until_ready(address: str) -> None:
    """At most a minute."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.get(address).status_code == 200:
                return
        time.sleep(0.2)
    pytest.fail(f"{address} did not become ready within a minute", pytrace=False)


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
