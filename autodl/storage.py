"""Nested dicts of JSON values and tensors ↔ a pair of files that notices every flipped bit; no pickle.

    NAME.json                        the values; arrays and tensors by reference; SHA-256 of itself and of the tensors
    NAME-<start of SHA-256>.safetensors   the tensors

The tensors' file is called after its content and the JSON file is put in place last, by one rename. So a process that
dies, or a disk that fills up, on the way leaves what was there before.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from autodl.errors import PluginError, PredictorError, RunError

SCHEMA = 1
FORMAT = "autodl"
_ADVICE = "take a copy from a backup, or save the predictor again"


def save(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """Write a folder's pair of files, whole or not at all.

    Args:
        folder: Where; made if need be.
        name: What the files are called.
        content: Strings, numbers, booleans, None, numpy arrays and tensors, nested in lists and dicts with string keys.

    Raises:
        PluginError: Something else is among the content.
        RunError: The disk is full, or the folder cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    plain = _plain(content, (name,), tensors)
    packed = safetensors.torch.save(tensors)
    digest = hashlib.sha256(packed).hexdigest()
    body = {"format": FORMAT, "schema": SCHEMA, "tensors": {"sha256": digest, "bytes": len(packed)}, "content": plain}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error
    kept = folder / _tensor_file(name, digest)
    former = set(folder.glob(_tensor_file(name, "?" * 16)))
    write_file(kept, packed)
    try:
        write_file(folder / f"{name}.json", _sealed(body))
    except RunError:
        if kept not in former:
            kept.unlink()
        raise
    for file in former - {kept}:
        file.unlink(missing_ok=True)


def load(folder: Path, name: str) -> dict[str, Any]:
    """Read what ``save`` wrote: arrays as numpy arrays, tensors as tensors, tuples as lists.

    Raises:
        PredictorError: A file is missing, damaged in any bit, or written by a newer version.
    """
    path = folder / f"{name}.json"
    body = _unsealed(path)
    try:
        digest, size = str(body["tensors"]["sha256"]), int(body["tensors"]["bytes"])
        bytes.fromhex(digest)  # so that it names no file elsewhere
        file = folder / _tensor_file(name, digest)
        tensors = _read_tensors(file, digest, size)
        content = _restored(body["content"], tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise PredictorError(f"{path} must hold what autodl saves, however: {error!r}; {_ADVICE}") from error
    if not isinstance(content, dict):
        raise PredictorError(f"{path} must hold an object, however it holds a {type(content).__name__}; {_ADVICE}")
    return content


def write_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all: beside its place first, then put there by one rename.

    Raises:
        RunError: The disk is full, or the place cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error, len(data)) from error


def _unwritable(path: Path, error: OSError, size: int = 0) -> RunError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return RunError(
            f"the disk must have room for {path} ({size / 1e6:.1f} MB), however it is full; free some and try again"
        )
    return RunError(f"{path} must be writable, however: {error.strerror or error}; choose another folder")


def _tensor_file(name: str, digest: str) -> str:
    return f"{name}-{digest[:16]}.safetensors"


def _sealed(body: Mapping[str, Any]) -> bytes:
    """The text of a body, its own SHA-256 first."""
    text = json.dumps(body, allow_nan=False).encode()
    return b'{"sha256": "%b", %b\n' % (hashlib.sha256(text).hexdigest().encode(), text[1:])


def _unsealed(path: Path) -> dict[str, Any]:
    """The body of a text that is to the byte what ``_sealed`` made of it."""
    text = _read(path)
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PredictorError(f"{path} must be readable JSON, however it is damaged: {error}; {_ADVICE}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT or not isinstance(body.get("schema"), int):
        raise PredictorError(f"{path} must say format '{FORMAT}' and a schema, however it does not; {_ADVICE}")
    if body["schema"] > SCHEMA:
        raise PredictorError(
            f"{path} must be of schema {SCHEMA} or older, however it was written by a newer autodl "
            f"(schema {body['schema']} > {SCHEMA}); upgrade with pip install --upgrade torch-autodl"
        )
    body.pop("sha256", None)
    try:
        whole = _sealed(body) == text
    except (ValueError, RecursionError):  # not a number where there must be one
        whole = False
    if not whole:
        raise PredictorError(f"{path} must match its own SHA-256, however it was changed or damaged; {_ADVICE}")
    return body


def _read_tensors(path: Path, digest: str, size: int) -> dict[str, Tensor]:
    data = _read(path, size)
    if hashlib.sha256(data).hexdigest() != digest:
        raise PredictorError(f"{path} must match its SHA-256, however it was changed or damaged; {_ADVICE}")
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise PredictorError(f"{path} must be a safetensors file, however: {error}; {_ADVICE}") from error


def _read(path: Path, size: int | None = None) -> bytes:
    """A file's bytes; refused before reading where there are not as many as there must be."""
    try:
        found = path.stat().st_size
        if size is not None and found != size:
            raise PredictorError(f"{path} must have {size} bytes, however it has {found}; {_ADVICE}")
        return path.read_bytes()
    except OSError as error:
        raise PredictorError(f"{path} must be readable, however: {error.strerror or error}; {_ADVICE}") from error


def _plain(value: Any, where: tuple[str, ...], tensors: dict[str, Tensor]) -> Any:
    """The value as JSON has it; tensors go to ``tensors``. A dict with one key that starts with ``$`` is a mark."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise _unstorable(where, "a key that is no string")
        plain = {key: _plain(each, (*where, key), tensors) for key, each in value.items()}
        return {"$dict": plain} if any(key.startswith("$") for key in value) else plain
    if isinstance(value, list | tuple):
        return [_plain(each, (*where, str(index)), tensors) for index, each in enumerate(value)]
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise _unstorable(where, f"an array of {value.dtype}")
        native = np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)
        return {"$array": _keep(torch.tensor(native), where, tensors)}
    if isinstance(value, Tensor):
        return {"$tensor": _keep(value, where, tensors)}
    raise _unstorable(where, f"a {type(value).__name__}")


def _keep(tensor: Tensor, where: tuple[str, ...], tensors: dict[str, Tensor]) -> str:
    """Put a copy of its own among the tensors; the number makes its key unique, the rest tells a reader what it is."""
    key = f"{len(tensors)} {'.'.join(where[1:]).encode('ascii', 'backslashreplace').decode()}"
    tensors[key] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return key


def _unstorable(where: tuple[str, ...], what: str) -> PluginError:
    return PluginError(
        f"{'.'.join(where)} must be made of JSON values, numbers' arrays and tensors, however it holds {what}; "
        "have the component's state() return something plain"
    )


def _restored(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_restored(each, tensors) for each in value]
    if not isinstance(value, dict):
        return value
    mark = next(iter(value)) if len(value) == 1 else ""
    if mark == "$array":
        return tensors[value[mark]].numpy()
    if mark == "$tensor":
        return tensors[value[mark]]
    if mark == "$float":
        return float(value[mark])
    inner = value[mark] if mark == "$dict" else value
    return {key: _restored(each, tensors) for key, each in inner.items()}
