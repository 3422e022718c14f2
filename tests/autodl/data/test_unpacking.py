from __future__ import annotations

import gzip
import os
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from autodl.data import unpacking
from autodl.data.unpacking import read_bytes
from autodl.errors import DataError

TEXT = b"a,b\n" + b"1,2\n" * 5000


def pack(path: Path, data: bytes = TEXT, member: str = "inner.csv") -> Path:
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(data))
    elif path.suffix == ".zst":
        path.write_bytes(zstandard.ZstdCompressor().compress(data))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, data)
    else:
        path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "inner"),
    [("t.csv", "t.csv"), ("t.csv.gz", "t.csv"), ("t.csv.zst", "t.csv"), ("t.zip", "inner.csv"), ("t.CSV", "t.CSV")],
)
def test_unpacks_to_the_same_bytes(tmp_path, name, inner):
    assert read_bytes(pack(tmp_path / name)) == (inner, TEXT)


def test_an_archive_is_told_by_its_bytes_not_by_its_name(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(TEXT))
    assert read_bytes(path) == ("t.csv", TEXT)
    path = tmp_path / "u.csv.gz"
    path.write_bytes(TEXT)
    assert read_bytes(path) == ("u.csv", TEXT)


def test_several_frames_of_zstd_are_read_to_the_end(tmp_path):
    path = tmp_path / "t.csv.zst"
    frame = zstandard.ZstdCompressor().compress(TEXT)
    path.write_bytes(frame + frame)
    assert read_bytes(path)[1] == TEXT + TEXT


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.zst", "t.zip"])
def test_more_bytes_than_the_limit_are_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(unpacking, "SIZE_LIMIT", 10_000)
    with pytest.raises(DataError, match="must unpack to at most 10,000 bytes, however there are more; unpack it"):
        read_bytes(pack(tmp_path / name))


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.zip"])
def test_a_bomb_is_refused_by_its_ratio_long_before_the_limit(tmp_path, monkeypatch, name):
    monkeypatch.setattr(unpacking, "FREE_SIZE", 100_000)
    path = pack(tmp_path / name, b"0" * 20_000_000)
    with pytest.raises(DataError, match="however there are more"):
        read_bytes(path)


def test_a_bomb_is_not_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    """The bound holds while unpacking: no more than one block past it is ever asked for."""
    monkeypatch.setattr(unpacking, "SIZE_LIMIT", 3_000_000)
    asked: list[int] = []
    blocks = unpacking._blocks

    def counted(stream):
        for block in blocks(stream):
            asked.append(len(block))
            yield block

    monkeypatch.setattr(unpacking, "_blocks", counted)
    with pytest.raises(DataError):
        read_bytes(pack(tmp_path / "t.csv.gz", b"0" * 50_000_000))
    assert sum(asked) <= 3_000_000 + 2**20


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.zip"])
@pytest.mark.parametrize("keep", [0.3, 0.9])
def test_a_cut_archive_is_refused(tmp_path, name, keep):
    path = pack(tmp_path / name, os.urandom(5000))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(DataError, match="must be a whole archive"):
        read_bytes(path)


@given(junk=st.binary(max_size=200), magic=st.sampled_from([b"\x1f\x8b", b"PK\x03\x04", b"\x28\xb5\x2f\xfd"]))
def test_junk_after_an_archives_first_bytes_is_refused(tmp_path_factory, junk, magic):
    path = tmp_path_factory.mktemp("junk") / "t.csv"
    path.write_bytes(magic + junk)
    with pytest.raises(DataError):
        read_bytes(path)


def test_a_zip_of_two_tables_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", "x")
        archive.writestr("b.csv", "x")
        archive.writestr("__MACOSX/._a.csv", "x")
    with pytest.raises(DataError, match="must hold exactly one file, however 2 came"):
        read_bytes(tmp_path / "t.zip")


def test_a_zip_with_a_password_is_refused(tmp_path):
    path = pack(tmp_path / "t.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1  # the flag "encrypted", in the local header and in the directory
    directory = data.index(b"PK\x01\x02")
    data[directory + 8] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="must be a plain zip archive"):
        read_bytes(path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def refuse(*_args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match="must be readable, however: Permission denied"):
        read_bytes(tmp_path / "t.csv")
