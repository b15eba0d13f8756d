"""SPECs: what they name, and what is said when they name nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from robust.errors import InputError, UnknownName
from robust.recommenders.adapt import adapt
from robust.recommenders.checkpoint import load, save
from robust.recommenders.fingerprint import answers_digest
from robust.recommenders.recurrent import GRU4Rec
from robust.recommenders.resolve import fingerprint, is_fitted, resolve
from robust.recommenders.sasrec import SASRec
from tests.toys import chain_log

SOURCE = """
import functools
import mymodel_helper

class Recent:
    n_items = 3
    def __init__(self, boost=1):
        self.boost = boost
    def recommend(self, sequences, k):
        return [[1, 2, 3][:k]] * len(sequences)

class Needy:
    def __init__(self, weights):
        pass

class Angry:
    def __init__(self):
        raise RuntimeError("no licence")

def factory(boost=2):
    return Recent(boost)

partial = functools.partial(Recent, boost=4)
instance = Recent(5)
number = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mymodel.py").write_text(SOURCE)
    (tmp_path / "mymodel_helper.py").write_text("scale = 1\n")
    (tmp_path / "broken_syntax.py").write_text("def f(:\n")
    (tmp_path / "broken_import.py").write_text("import not_there_at_all\n")
    (tmp_path / "broken_run.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in list(sys.modules):
        if name.startswith(("mymodel", "broken_")):
            del sys.modules[name]


def test_built_ins_by_name() -> None:
    model = resolve("sasrec", {"context": 7})
    assert isinstance(model, SASRec)
    assert model.settings.context == 7
    assert not is_fitted(model)
    assert resolve("lstm").settings.cell == "lstm"
    assert resolve("rnn").settings.cell == "rnn"


@pytest.mark.parametrize(
    "spec, settings, boost",
    [
        ("mymodel:Recent", {}, 1),
        ("mymodel:Recent", {"boost": 9}, 9),
        ("mymodel:factory", {}, 2),
        ("mymodel:partial", {}, 4),
        ("mymodel:instance", {}, 5),
    ],
)
def test_classes_factories_and_instances(folder: Path, spec: str, settings: dict[str, int], boost: int) -> None:
    path = list(sys.path)
    model = resolve(spec, settings)
    assert model.boost == boost
    assert is_fitted(model)
    assert sys.path == path


BAD = {
    "sasrecc": "Did you mean 'sasrec'?",
    "no.such.module:X": "no.such.module:X.*there is no module 'no'",
    "mymodel:Recents": "Did you mean 'Recent'?",
    "mymodel:": "expected package.module:attribute",
    ":Recent": "expected package.module:attribute",
    "mymodel:Needy": "'mymodel:Needy': Needy is called without arguments, but missing a required argument: 'weights'",
    "mymodel:Angry": r"Angry\(\) raised RuntimeError: no licence",
    "broken_syntax:X": r"importing 'broken_syntax' failed \(line 1\): SyntaxError",
    "broken_import:X": "no module 'not_there_at_all'",
    "broken_run:X": "importing 'broken_run' failed: ZeroDivisionError",
    "mymodel.py": "no folder with a checkpoint",
    "models/nothing": "no folder with a checkpoint",
    ".": "holds no checkpoint",
    "https://example.org/recommend": "write a file that describes it",
    "onnx:model.onnx": "adapter: onnx",
    "adapter.yaml": "no file",
}


@pytest.mark.parametrize("spec", BAD)
def test_each_fault_gets_one_clear_message(folder: Path, spec: str) -> None:
    with pytest.raises(InputError, match=BAD[spec]) as caught:
        resolve(spec)
    assert "\n" not in str(caught.value)


def test_a_misspelt_setting_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"setting of SASRec 'contxt'. Did you mean 'context'"):
        resolve("sasrec", {"contxt": 7})
    with pytest.raises(InputError, match=r"SASRec: setting 'dropout' = 1.5"):
        resolve("sasrec", {"dropout": 1.5})
    with pytest.raises(InputError, match=r"heads .3. must divide dimension"):
        resolve("sasrec", {"heads": 3})


def test_an_instance_takes_no_settings(folder: Path) -> None:
    with pytest.raises(InputError, match="takes no settings; got boost"):
        resolve("mymodel:instance", {"boost": 1})


def test_a_checkpoint_folder(tmp_path: Path) -> None:
    log = chain_log(users=30)
    fitted = GRU4Rec(context=5, dimension=8, max_steps=3).fit(log, seed=0)
    save(fitted, tmp_path / "model")
    again = resolve(str(tmp_path / "model"))
    assert isinstance(again, GRU4Rec)
    sequences = log.sequences(5)
    assert (again.score(sequences) == fitted.score(sequences)).all()
    assert (again.steps, again.settings) == (fitted.steps, fitted.settings)


def damage_nothing(folder: Path) -> None:
    (folder / "recommender.json").unlink()


def damage_json(folder: Path) -> None:
    (folder / "recommender.json").write_text("{")


def damage_format(folder: Path) -> None:
    text = (folder / "recommender.json").read_text()
    (folder / "recommender.json").write_text(text.replace('"format": 1', '"format": 9'))


def damage_keys(folder: Path) -> None:
    (folder / "recommender.json").write_text("[]")


def damage_weights(folder: Path) -> None:
    (folder / "weights.safetensors").write_bytes((folder / "weights.safetensors").read_bytes()[:100])


def damage_shape(folder: Path) -> None:
    text = (folder / "recommender.json").read_text()
    (folder / "recommender.json").write_text(text.replace('"n_items": 20', '"n_items": 19'))


def damage_name(folder: Path) -> None:
    text = (folder / "recommender.json").read_text()
    (folder / "recommender.json").write_text(text.replace('"gru4rec"', '"gru4rek"'))


@pytest.mark.parametrize(
    "damage, message",
    [
        (damage_nothing, "holds no checkpoint"),
        (damage_json, "cannot be read"),
        (damage_format, "format 9; this version reads 1"),
        (damage_keys, "is not a checkpoint's"),
        (damage_weights, "does not hold the weights of a gru4rec"),
        (damage_shape, "does not hold the weights of a gru4rec"),
        (damage_name, "Did you mean 'gru4rec'"),
    ],
)
def test_damaged_checkpoints_are_refused(tmp_path: Path, damage: object, message: str) -> None:
    save(GRU4Rec(context=5, dimension=8, max_steps=1).fit(chain_log(users=5), seed=0), tmp_path)
    assert callable(damage)
    damage(tmp_path)
    with pytest.raises(InputError, match=message):
        load(tmp_path)


def test_only_what_can_be_loaded_again_is_saved(folder: Path) -> None:
    with pytest.raises(InputError, match="cannot be written safely"):
        save(resolve("mymodel:Recent"), folder / "out")


def test_fingerprints_change_with_source_weights_and_attributes(folder: Path) -> None:
    first = fingerprint("mymodel:Recent", resolve("mymodel:Recent"))
    assert first == fingerprint("mymodel:Recent", resolve("mymodel:Recent"))
    assert first != fingerprint("mymodel:Recent", resolve("mymodel:Recent", {"boost": 3}))
    (folder / "mymodel_helper.py").write_text("scale = 2\n")
    assert first != fingerprint("mymodel:Recent", resolve("mymodel:Recent"))

    log = chain_log(users=20)
    victim = GRU4Rec(context=5, dimension=8, max_steps=2)
    prints = {fingerprint("gru4rec", model) for model in (victim, victim.fit(log, seed=0), victim.fit(log, seed=1))}
    assert len(prints) == 3


def test_answers_tell_models_apart_whose_weights_nobody_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights in a dictionary, in a module's globals, in a file that is read while it is asked."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hidden.py").write_text(
        "from pathlib import Path\nimport numpy as np\n\nclass Hidden:\n    n_items = 20\n\n"
        "    def recommend(self, sequences, k):\n"
        "        shift = int(Path('weights.json').read_text())\n"
        "        return (sequences.items[:, -1:] + shift + np.arange(k)) % 20 + 1\n"
    )
    digests = []
    for shift in (0, 0, 3):
        (tmp_path / "weights.json").write_text(str(shift))
        digests.append(answers_digest(adapt(resolve("hidden:Hidden"))))
    assert digests[0] == digests[1] != digests[2]
