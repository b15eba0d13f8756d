"""RecBole's own configuration, dataset and trainer, kept from changing anything outside of a call.

RecBole seeds the global generators, reads the command line, and patches numpy; version 1.2.1 also asks numpy for names
that version 2 no longer has.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from robust.errors import InputError, ModelFault, RobustError
from robust.log import InteractionLog
from robust.recommenders.adapters.base import require
from robust.recommenders.adapters.generators import restored

NAME = "robust"
"""Of the dataset that a log is written as."""

_GONE = {"float_": np.float64, "unicode_": np.str_, "complex_": np.complex128}
_PATCHED = ("bool", "int", "float", "complex", "object", "str", "long", "unicode")
_BEFORE = {
    "bool": np.bool_,
    "int": np.int_,
    "float": np.float64,
    "complex": np.complex128,
    "object": object,
    "str": str,
}
_ABSENT = object()


def library(module: str = "config") -> Any:
    """A module of RecBole.

    Raises:
        InputError: RecBole, or something that it needs, is not installed.
    """
    with contained():
        try:
            return require(f"recbole.{module}", "recbole")
        except InputError as error:
            raise InputError(
                f"{error} RecBole itself asks for old versions of libraries that it doesn't need here: "
                "pip install --no-deps recbole==1.2.1."
            ) from error


@contextmanager
def contained() -> Iterator[None]:
    """Generators, command line, numpy's names and warnings are as before afterwards."""
    import torch

    names = {name: np.__dict__.get(name, _ABSENT) for name in (*_GONE, *_PATCHED)}
    argv, cudnn = list(sys.argv), (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic)
    for name, value in {**_BEFORE, **_GONE}.items():
        if names[name] is _ABSENT:
            setattr(np, name, value)
    sys.argv = sys.argv[:1]
    try:
        with restored():
            yield
    finally:
        for name, value in names.items():
            if value is not _ABSENT:
                setattr(np, name, value)
            elif name in np.__dict__:
                delattr(np, name)
        sys.argv = argv
        torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic = cudnn


def load_checkpoint(file: Path, data: Path | None) -> tuple[Any, Any, Any]:
    """Network, configuration and dataset of a checkpoint that the user trusts.

    Raises:
        InputError: not a checkpoint of RecBole, or its atomic files are not there.
    """
    import torch

    with contained():
        try:
            saved = torch.load(file, map_location="cpu", weights_only=False)  # noqa: TID251 (trusted by the user)
            config, weights = saved["config"], saved["state_dict"]
        except Exception as error:
            raise InputError(f"'{file}' is no checkpoint of RecBole: {type(error).__name__}: {error}.") from error
        if data is not None:
            config["data_path"] = str(data / config["dataset"])
        where = Path(config["data_path"])
        if not where.is_dir():
            raise InputError(
                f"'{file}' was trained on the atomic files in '{where}', which are not there. They hold the items' "
                f"ids: name the folder that holds '{where.name}' with the key 'data'."
            )
        _on_this_machine(config)
        try:
            dataset = library("data").create_dataset(config)
            network = library("utils").get_model(config["model"])(config, dataset.build()[0])
            network.load_state_dict(weights)
            network.load_other_parameter(saved.get("other_parameter"))
        except RobustError:
            raise
        except Exception as error:
            raise InputError(f"'{file}' and the data in '{where}' don't fit together: {error}") from error
    return network.to(config["device"]).eval(), config, dataset


def made_on_toy(name: str, settings: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Network, configuration and dataset of a log of 4 users and 6 items, untrained.

    Raises:
        InputError: RecBole knows no such model or refuses the settings.
    """
    user = np.repeat(np.arange(4), 6)
    log = InteractionLog.from_columns(user, np.tile(np.arange(6), 4) % 6 + 1, np.arange(24), n_items=6)
    with contained(), tempfile.TemporaryDirectory() as folder:
        try:
            config = library().Config(model=name, dataset=NAME, config_dict=settings | {"data_path": folder})
        except Exception as error:
            raise InputError(f"RecBole cannot make '{name}' with these settings: {error}") from error
        if str(config["MODEL_TYPE"]) != "ModelType.SEQUENTIAL":
            raise InputError(f"RecBole's {name} is not a sequential model, so it reads no sequences.")
        try:
            dataset = _dataset(config, log, Path(folder), early_stopping=False)
            network = library("utils").get_model(config["model"])(config, dataset.build()[0]).to(config["device"])
        except RobustError:
            raise
        except Exception as error:
            raise InputError(f"RecBole cannot make '{name}' with these settings: {error}") from error
    return network, config, dataset


def fitted_network(config: Any, log: InteractionLog, seed: int, *, early_stopping: bool) -> tuple[Any, Any, Any]:
    """Network, configuration and dataset after RecBole's trainer; the configuration that is given stays as it is.

    Raises:
        ModelFault: RecBole raised.
    """
    import torch

    with contained(), tempfile.TemporaryDirectory() as folder:
        own = copy.deepcopy(config)
        data, utils = library("data"), library("utils")
        own["seed"], own["reproducibility"] = seed, True
        try:
            utils.init_seed(seed, True)
            dataset = _dataset(own, log, Path(folder), early_stopping=early_stopping)
            train, valid, _ = data.data_preparation(own, dataset)
            utils.init_seed(seed, True)
            network = utils.get_model(own["model"])(own, train._dataset).to(own["device"])
            with _without_tensorboard():
                trainer = utils.get_trainer(own["MODEL_TYPE"], own["model"])(own, network)
            held = valid if early_stopping and len(valid.dataset) else None
            trainer.fit(train, held, saved=held is not None, show_progress=False, verbose=False)
            if held is not None:
                best = torch.load(trainer.saved_model_file, weights_only=False)  # noqa: TID251 (just written here)
                network.load_state_dict(best["state_dict"])
                network.load_other_parameter(best.get("other_parameter"))
        except RobustError:
            raise
        except Exception as error:
            raise ModelFault(f"RecBole's training of {own['model']} raised {type(error).__name__}: {error}") from error
    return network.eval(), own, dataset


class _Silent:
    """Takes what RecBole would write for TensorBoard into the current folder."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **named: None


@contextmanager
def _without_tensorboard() -> Iterator[None]:
    module = library("trainer.trainer")
    before = module.get_tensorboard
    module.get_tensorboard = lambda logger: _Silent()
    try:
        yield
    finally:
        module.get_tensorboard = before


def _dataset(config: Any, log: InteractionLog, folder: Path, *, early_stopping: bool) -> Any:
    """The log as RecBole's dataset, every item of the catalogue known, whether it has rows or not."""
    import pandas as pd

    user, item, time = config["USER_ID_FIELD"], config["ITEM_ID_FIELD"], config["TIME_FIELD"]
    files = folder / NAME
    files.mkdir()
    # a row's place, since RecBole sorts unstably, and reads times as 32-bit floats, in which seconds are not exact
    rows = {f"{user}:token": log.user, f"{item}:token": log.item, f"{time}:float": log.position}
    pd.DataFrame(rows).to_csv(files / f"{NAME}.inter", sep="\t", index=False)
    pd.DataFrame({f"{item}:token": np.arange(1, log.n_items + 1)}).to_csv(files / f"{NAME}.item", sep="\t", index=False)
    mode = {"valid": "full", "test": "full"}
    split = {"LS": "valid_only"} if early_stopping else {"RS": [1.0, 0.0, 0.0]}
    changes = {
        "dataset": NAME,
        "data_path": str(files),
        "checkpoint_dir": str(folder),
        "field_separator": "\t",
        "load_col": {"inter": [user, item, time], "item": [item]},
        "unload_col": None,
        "eval_args": {"split": split, "order": "TO", "group_by": "user" if early_stopping else None, "mode": mode},
        "show_progress": False,
        "log_wandb": False,
        "save_dataset": False,
        "save_dataloaders": False,
        # what would leave rows or items out, or take them from elsewhere
        **dict.fromkeys(("benchmark_filename", "val_interval", "user_inter_num_interval", "item_inter_num_interval")),
        **dict.fromkeys(("dataset_save_path", "dataloaders_save_path", "preload_weight", "alias_of_item_id")),
        "filter_inter_by_user_or_item": True,
        "rm_dup_inter": None,
    }
    for key, value in changes.items():
        config[key] = value
    _on_this_machine(config)
    return _in_order(library("data").create_dataset(config), item)


def _in_order(dataset: Any, item: str) -> Any:
    """Items under our numbers. RecBole numbers them as they appear, so that one more row would start all anew."""
    tokens = [str(token) for token in dataset.field2id_token[item]]
    ours = np.array([0, *map(int, tokens[1:])])
    dataset.inter_feat[item] = ours[dataset.inter_feat[item].to_numpy()]
    dataset.item_feat[item] = ours[dataset.item_feat[item].to_numpy()]
    dataset.item_feat = dataset.item_feat.sort_values(item, ignore_index=True)
    ordered = [tokens[0], *map(str, range(1, len(tokens)))]
    dataset.field2id_token[item] = np.array(ordered)
    dataset.field2token_id[item] = {token: number for number, token in enumerate(ordered)}
    return dataset


def _on_this_machine(config: Any) -> None:
    import torch

    if not torch.cuda.is_available():
        config["device"], config["use_gpu"] = torch.device("cpu"), False
