"""A class or function of the user's own that opens what lies in a folder: the shortest way to what a command made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from robust.recommenders.adapters.base import Adapter


class PythonAdapter(Adapter):
    """Importing a module runs it; naming it is the user's own choice, as with `--model module:attribute`.

    Attributes:
        model: `package.module:attribute`, looked for in the current folder and the environment. It is called with
            `folder`, the folder that holds the model's files (a `pathlib.Path`), and with `settings`.
        settings: further keyword arguments.
    """

    model: str
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("model")
    @classmethod
    def _is_import_path(cls, model: str) -> str:
        if ":" not in model:
            raise ValueError(f"'{model}': expected package.module:attribute, as in mymodel:Ranker.")
        return model

    def open(self, folder: Path) -> Any:
        """What the class or function returns.

        Raises:
            InputError: it cannot be imported, or cannot be called so.
        """
        from robust.recommenders.resolve import resolve

        return resolve(self.model, {"folder": folder, **self.settings})
