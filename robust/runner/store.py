"""A content-addressed store: every step's outcome lies under the hash of what it was made from.

An artifact is arrays plus JSON, written as a safetensors payload (never pickle) behind a checksum, to a temporary name
that is then renamed. A process killed at any moment leaves whole artifacts or none; a damaged file counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from robust.errors import InputError

_MAGIC = b"SEQROB1\n"
_HEADER = struct.Struct("<8sQ")


def content_hash(value: Any) -> str:
    """Hex SHA-256 (first 40 digits) of a JSON-able value in canonical form."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


@dataclass(frozen=True)
class Artifact:
    """What a step left: named arrays and a JSON-able note.

    Attributes:
        cost: what making it took on this machine, kept beside it: no part of its content, which is the same everywhere.
    """

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    note: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)


class Store:
    """Artifacts under a folder, by key."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.bin"

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            InputError: it cannot be written, or leads elsewhere.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise InputError(
                f"The output folder {self.folder.parent} cannot be written: {error.strerror or error}. "
                "Choose another with --out."
            ) from error
        for entry in (self.folder, *self.folder.iterdir()):
            if entry.is_symlink():  # as a run folder of somebody else's may hold one
                raise InputError(
                    f"{entry} is a link to {entry.readlink()}, so that what is written there would lie outside of the "
                    "output folder. Remove it, or name the place itself with --out."
                )
        ignore = self.folder / ".gitignore"
        if not ignore.exists():  # hundreds of megabytes that nobody means to commit
            ignore.write_text("*\n", encoding="utf-8")

    def __contains__(self, key: str) -> bool:
        return self.get(key) is not None

    def get(self, key: str) -> Artifact | None:
        """The artifact, or None where it is absent or damaged."""
        from safetensors.numpy import load

        try:
            raw = self._path(key).read_bytes()
        except OSError:
            return None
        if len(raw) < _HEADER.size:
            return None
        magic, checksum = _HEADER.unpack_from(raw)
        payload = raw[_HEADER.size :]
        if magic != _MAGIC or xxhash.xxh64_intdigest(payload) != checksum:
            return None
        arrays = load(payload)
        note = json.loads(arrays.pop("__note__").tobytes())
        return Artifact(arrays, note)

    def cost(self, key: str) -> dict[str, float]:
        """What making this artifact took when it was made; empty where that was not measured."""
        try:
            found = json.loads(self._path(key).with_suffix(".cost").read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(name): float(value) for name, value in found.items()}

    def put(self, key: str, artifact: Artifact) -> None:
        """Write an artifact; the same content gives the same bytes."""
        from safetensors.numpy import save

        note = np.frombuffer(json.dumps(artifact.note, sort_keys=True).encode(), dtype=np.uint8)
        arrays = {name: np.ascontiguousarray(artifact.arrays[name]) for name in sorted(artifact.arrays)}
        payload = save({**arrays, "__note__": note})
        if artifact.cost:  # before the artifact: whoever finds that one finds what it took
            write_atomically(self._path(key).with_suffix(".cost"), json.dumps(dict(artifact.cost), sort_keys=True))
        write_atomically(self._path(key), _HEADER.pack(_MAGIC, xxhash.xxh64_intdigest(payload)) + payload)


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write to a temporary name in the same folder, flush to disk, rename."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        os.fchmod(handle, 0o644)  # mkstemp's 0600 would keep a report from those it is meant for
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
