"""ONNX files, exported by torch and run by ONNX Runtime; answers are checked against the module that was exported."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from robust.errors import InputError
from robust.log import SequenceBatch
from robust.recommenders.adapt import adapt
from robust.recommenders.adapters import open_adapter
from robust.recommenders.fingerprint import fingerprint
from robust.recommenders.protocols import capabilities, lacks
from tests.unit.recommenders.adapters.drawn import drawn

N, D = 10, 4
LISTS = [[3, 1, 4], [5], [9, 2, 6, 5, 3, 8], [7, 7], [10]]
ROWS = SequenceBatch.from_lists(LISTS)


class Net(nn.Module):
    """Right-padded, ids from 0, padding N; all steps [B, L, N]."""

    def __init__(self) -> None:
        super().__init__()
        self.items, self.out = nn.Embedding(N + 1, D), nn.Linear(D, N)
        drawn(self, 0)

    def forward(self, seq: Tensor) -> Tensor:
        return self.out(self.items(seq).cumsum(1).tanh())  # type: ignore[no-any-return]


class Last(Net):
    """The last step only, and a second output before it."""

    def forward(self, seq: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        steps = super().forward(seq)
        return lengths, steps[torch.arange(len(seq)), lengths - 1]


def _export(net: nn.Module, path: Path, *inputs: Tensor, names: list[str], free: bool = True, **more: Any) -> Path:
    batch, length = torch.export.Dim("batch", max=4096), torch.export.Dim("length", max=512)
    dims: Any = tuple({0: batch, 1: length} if one.ndim == 2 else {0: batch} for one in inputs) if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), inputs, path, input_names=names, dynamic_shapes=dims, dynamo=True, verbose=False, **more
        )
    return path


def _open(folder: Path, text: str) -> Any:
    (folder / "model.yaml").write_text("adapter: onnx\n" + text)
    return open_adapter(folder / "model.yaml")


def _expected(net: Net) -> np.ndarray[Any, Any]:
    with torch.no_grad():
        rows = [Net.forward(net, torch.tensor([[i - 1 for i in items]]))[0, -1] for items in LISTS]
    return torch.stack(rows).numpy()


RIGHT = f"padding: {{side: right, id: {N}}}\nids: {{first: 0}}\n"


@pytest.fixture(scope="module")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file that takes two rows of six 32-bit numbers; exporting takes seconds."""
    folder = tmp_path_factory.mktemp("fixed")
    _export(Net(), folder / "net.onnx", torch.zeros(2, 6, dtype=torch.int32), names=["seq"], free=False)
    return folder


def test_all_steps_with_free_sizes(tmp_path: Path) -> None:
    _export(Net(), tmp_path / "net.onnx", torch.zeros(2, 7, dtype=torch.int64), names=["seq"])
    model = _open(tmp_path, "file: net.onnx\n" + RIGHT)
    np.testing.assert_allclose(model.score(ROWS)[:, 1:], _expected(Net()), atol=1e-5)
    assert model.n_items == N
    assert capabilities(adapt(model)) == {"lists", "scores"}
    assert lacks(adapt(model))["gradients"] == "ONNX Runtime computes forwards only"


def test_a_fixed_batch_length_and_type_are_kept_to(fixed: Path) -> None:
    model = _open(fixed, "file: net.onnx\n" + RIGHT)
    assert model.context == 6
    assert model._inputs["seq"].type == "tensor(int32)"
    np.testing.assert_allclose(model.score(ROWS)[:, 1:], _expected(Net()), atol=1e-5)  # 5 rows, two at a time
    with pytest.raises(InputError, match=r"padding.length is 9, but 'seq' takes 6"):
        _open(fixed, "file: net.onnx\n" + RIGHT.replace("side", "length: 9, side"))


def test_the_last_step_lengths_and_a_named_output(tmp_path: Path) -> None:
    inputs = torch.zeros(2, 7, dtype=torch.int64), torch.tensor([3, 7])
    _export(Last(), tmp_path / "net.onnx", *inputs, names=["seq", "n"], output_names=["echo", "scores"])
    text = "file: net.onnx\nsequence: seq\nextra: {n: lengths}\noutput: {path: scores}\n" + RIGHT
    model = _open(tmp_path, text)
    np.testing.assert_allclose(model.score(ROWS)[:, 1:], _expected(Net()), atol=1e-5)
    by_place = _open(tmp_path, text.replace("path: scores", "path: 1"))
    np.testing.assert_array_equal(by_place.score(ROWS), model.score(ROWS))
    with pytest.raises(InputError, match="say with 'extra' what n should"):
        _open(tmp_path, text.replace("extra: {n: lengths}\n", ""))
    with pytest.raises(InputError, match="Did you mean 'seq'"):
        _open(tmp_path, text.replace("sequence: seq", "sequence: seqs"))
    with pytest.raises(InputError, match="there is no 'logits' in a mapping with the keys echo, scores"):
        _open(tmp_path, text.replace("path: scores", "path: logits"))


def test_a_fingerprint_sees_the_file(fixed: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(fixed, tmp_path, dirs_exist_ok=True)) / "net.onnx"
    before = fingerprint("model.yaml", _open(tmp_path, "file: net.onnx\n" + RIGHT))
    graph = onnx.load(path)
    graph.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(
            onnx.numpy_helper.to_array(graph.graph.initializer[0]) * np.float32(1.001), graph.graph.initializer[0].name
        )
    )
    onnx.save(graph, path)
    assert fingerprint("model.yaml", _open(tmp_path, "file: net.onnx\n" + RIGHT)) != before


def test_what_is_no_onnx_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"<html>")
    with pytest.raises(InputError, match="cannot be loaded by ONNX Runtime"):
        _open(tmp_path, "file: net.onnx\n")
    with pytest.raises(InputError, match="no such file"):
        _open(tmp_path, "file: absent.onnx\n")
