"""Descriptions of models: what is wrong with one is said with file, line and the nearest name; trust is asked for."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import pytest

from robust.errors import InputError
from robust.recommenders.adapters import ADAPTERS, Adapter, open_adapter, read_adapter
from robust.recommenders.adapters.base import TRUST, inside, require, require_trust
from robust.recommenders.adapters.onnx import OnnxAdapter
from robust.recommenders.resolve import resolve

WRONG = [
    ("", "line 1: expected a mapping with the key 'adapter'"),
    ("- torch\n", "line 1: expected a mapping"),
    ("adapter: tortch\n", "line 1.*'tortch'.*Did you mean 'torch'"),
    ("adapter: onnx\nfile: a.onnx\npaddings: {}\n", "line 3: paddings: .*Did you mean 'padding'"),
    ("adapter: onnx\n", "file: this key is required"),
    ("adapter: onnx\nfile: a.onnx\npadding:\n  side: up\n", "line 4: padding.side"),
    ("adapter: onnx\nfile: a.onnx\nids: {first: 0, shift: 1}\n", "line 3: ids: first and shift.*keep one"),
    ("adapter: onnx\nfile: a.onnx\nextra: {n: length}\n", "line 3: extra.n"),
    ("adapter: onnx\nfile: &a a.onnx\nsequence: *a\n", "aliases"),
    ("adapter: [\n", "not valid YAML"),
]


@pytest.mark.parametrize(("text", "said"), WRONG, ids=[said for _, said in WRONG])
def test_a_wrong_description_is_refused_with_its_line(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=said):
        read_adapter(path)


def test_a_right_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("adapter: onnx\nfile: a.onnx\nsequence: ids\nextra: {n: lengths, t: 0.5, u: true}\n")
    read = read_adapter(path)
    assert isinstance(read, OnnxAdapter)
    assert (read.file, read.sequence) == ("a.onnx", "ids")
    assert read.extra == {"n": "lengths", "t": 0.5, "u": True}
    assert read.extra["u"] is True


def test_there_has_to_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no file '.*absent\.yaml' that describes a model"):
        open_adapter(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match=r"'weights\.bin': there is no such file in"):
        inside(tmp_path, "weights.bin")
    with pytest.raises(InputError, match="takes no settings; got k"):
        resolve(str(tmp_path / "absent.yaml"), {"k": 1})


@pytest.mark.parametrize("file", ["net.onnx", "net.pt", "net.pth", "net.bin", "net.safetensors", "net.ts"])
def test_a_bare_file_needs_a_description(file: str) -> None:
    with pytest.raises(InputError, match=r"give that as --model: model\.yaml, with the key 'adapter: (onnx|torch)"):
        resolve(file)


def test_trust_has_to_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (None, "", "0", "yes"):
        monkeypatch.delenv(TRUST, raising=False)
        if value is not None:
            monkeypatch.setenv(TRUST, value)
        with pytest.raises(InputError, match=r"'a\.pt': it is a pickle, so .* --trust-pickle"):
            require_trust("a.pt", "it is a pickle")
    monkeypatch.setenv(TRUST, "1")
    require_trust("a.pt", "it is a pickle")
    assert os.environ[TRUST] == "1"


def test_a_missing_library_says_how_to_install_it() -> None:
    with pytest.raises(InputError, match=r"needs 'absent_library'.*pip install 'seqrobust\[absent\]'"):
        require("absent_library", "absent")


@pytest.mark.parametrize("name", ADAPTERS)
def test_every_adapter_is_there_without_its_extra(name: str) -> None:
    module, _, attribute = ADAPTERS[name].partition(":")
    kind = getattr(importlib.import_module(module), attribute)
    assert issubclass(kind, Adapter)
    assert kind.open is not Adapter.open
