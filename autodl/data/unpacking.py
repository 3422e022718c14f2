"""Bytes of a file, unpacked where it is an archive, within a bound that holds while unpacking."""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePath
from typing import IO

from autodl.errors import DataError

SIZE_LIMIT = 4 * 2**30
"""Most bytes that are read from one file, packed or not."""
FREE_SIZE = 256 * 2**20
"""An archive may unpack to so many bytes, however small it is itself …"""
RATIO_LIMIT = 200
"""… and beyond that to so many times its own size: tables pack 3 to 50 times, bombs 1,000 times."""

_SUFFIXES = {".gz", ".zip", ".zst"}
_BLOCK = 2**20
# One zstd block of 4 bytes may unpack to 128 KiB: small reads keep what one step unpacks small.
_ZST_BLOCK = 2**10


def read_bytes(path: Path) -> tuple[str, bytes]:
    """Return the name of what lies in the file (``rows.csv`` for ``rows.csv.gz``) and its bytes.

    Archives are told by their first bytes, whatever they are called.

    Raises:
        DataError: The file cannot be read, is damaged, or is larger than the limits.
    """
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise _damaged(path, error) from error
    except OSError as error:
        raise DataError(f"'{path}' must be readable, however: {error.strerror or error}; check it") from error


def _read(file: IO[bytes], path: Path) -> tuple[str, bytes]:
    size = path.stat().st_size
    inner = path.stem if path.suffix.lower() in _SUFFIXES else path.name
    magic = file.read(4)
    file.seek(0)
    if magic[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=file) as stream:
            return inner, _bounded(_blocks(stream), size, path)
    if magic == b"PK\x03\x04":
        return _read_zip(file, path, size)
    if magic == b"\x28\xb5\x2f\xfd":
        return inner, _bounded(_zst_blocks(file, path), size, path)
    if size > SIZE_LIMIT:
        raise _too_large(path, SIZE_LIMIT)
    return inner, file.read()


def _read_zip(file: IO[bytes], path: Path, size: int) -> tuple[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        members = [
            info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")
        ]
        if len(members) != 1:
            raise DataError(f"'{path}' must hold exactly one file, however {len(members)} came; unpack it, name one")
        try:
            with archive.open(members[0]) as stream:
                return PurePath(members[0].filename).name, _bounded(_blocks(stream), size, path)
        except (RuntimeError, NotImplementedError) as error:  # a password, or a method that zipfile does not know
            raise DataError(f"'{path}' must be a plain zip archive, however: {error}; unpack it yourself") from error


def _bounded(blocks: Iterable[bytes], size: int, path: Path) -> bytes:
    limit = min(SIZE_LIMIT, max(FREE_SIZE, RATIO_LIMIT * size))
    kept: list[bytes] = []
    length = 0
    for block in blocks:
        length += len(block)
        if length > limit:
            raise _too_large(path, limit)
        kept.append(block)
    return b"".join(kept)


def _blocks(stream: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while block := stream.read(_BLOCK):
        yield block


def _zst_blocks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    import zstandard  # only where a .zst comes

    frame = None
    try:
        while block := file.read(_ZST_BLOCK):
            while block:
                if frame is None or frame.eof:
                    frame = zstandard.ZstdDecompressor().decompressobj()
                yield frame.decompress(block)
                block = frame.unused_data
    except zstandard.ZstdError as error:
        raise _damaged(path, error) from error
    if frame is None or not frame.eof:
        raise EOFError("it ends before its end marker")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"'{path}' must be a whole archive, however: {error}; get it again")


def _too_large(path: Path, limit: int) -> DataError:
    return DataError(
        f"'{path}' must unpack to at most {limit:,} bytes, however there are more; "
        "unpack it and split it if you trust it, or read it yourself and hand over a data frame"
    )
