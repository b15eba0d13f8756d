"""RecBole's models, trained by RecBole from atomic files that are written for it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from robust.log import InteractionLog

SMALL = {
    "epochs": 1,
    "train_batch_size": 512,
    "hidden_size": 16,
    "embedding_size": 16,
    "inner_size": 16,
    "n_layers": 1,
    "n_heads": 1,
    "num_layers": 1,
    "MAX_ITEM_LIST_LENGTH": 10,
    "train_neg_sample_args": None,
    "use_gpu": False,
}


@dataclass
class Trained:
    """What RecBole left."""

    folder: Path
    checkpoint: Path
    config: Any
    dataset: Any
    model: Any
    test: Any
    own: dict[str, float]


def train(
    name: str,
    log: InteractionLog,
    folder: Path,
    data: str = "data",
    dataset: str = "planes",
    fields: tuple[str, str, str] = ("tail", "route", "when"),
    **more: Any,
) -> Trained:
    """A model and what RecBole says of it; `more` are its settings, `fields` its columns of user, item and time."""
    from robust.recommenders.adapters.recbole_training import contained

    user_id, item_id, timestamp = fields
    (folder / data / dataset).mkdir(parents=True)
    with (folder / data / dataset / f"{dataset}.inter").open("w") as file:
        print(f"{user_id}:token\t{item_id}:token\t{timestamp}:float", file=file)
        for user, item, place in zip(log.user, log.item, log.position, strict=True):
            print(f"N{user}\t{log.item_ids[item - 1]}\t{place}", file=file)  # type: ignore[index]
    settings = (
        SMALL
        | more
        | {
            "data_path": str(folder / data),
            "checkpoint_dir": str(folder / "saved"),
            "USER_ID_FIELD": user_id,
            "ITEM_ID_FIELD": item_id,
            "TIME_FIELD": timestamp,
            "load_col": {"inter": list(fields)},
            "show_progress": False,
        }
    )
    if name == "FPMC":
        settings["train_neg_sample_args"] = {"distribution": "uniform", "sample_num": 1, "alpha": 1.0}
    with contained():
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.utils import get_model, get_trainer, init_seed

        config = Config(model=name, dataset=dataset, config_dict=settings)
        init_seed(1, True)
        read = create_dataset(config)
        train, valid, test = data_preparation(config, read)
        model = get_model(name)(config, train._dataset)
        with contextlib.chdir(folder):  # it writes charts into the current folder
            trainer = get_trainer(config["MODEL_TYPE"], name)(config, model)
            trainer.fit(train, valid, saved=True, show_progress=False, verbose=False)
            best = torch.load(trainer.saved_model_file, weights_only=False)  # noqa: TID251 (just written)
            model.load_state_dict(best["state_dict"])
            own = trainer.evaluate(test, load_best_model=False, show_progress=False)
    metrics = {"hr@10": float(own["hit@10"]), "ndcg@10": float(own["ndcg@10"])}
    return Trained(folder, Path(trainer.saved_model_file), config, read, model.eval(), test, metrics)
