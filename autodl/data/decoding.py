"""Text of unknown encoding → UTF-8: byte order marks, UTF-8, then Windows-1252 or Latin-1."""

from __future__ import annotations

import codecs

from autodl.errors import DataError

# UTF-32 first, as its little-endian mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BLOCK = 2**20


def to_utf8(data: bytes, where: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the text as UTF-8 without a byte order mark, and what was inferred.

    Raises:
        DataError: The bytes are no text.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _marked(data[len(mark) :], encoding, where)
    _refuse_zeros(data, where)
    if data.isascii() or _is_utf8(data):
        return data, ()
    for encoding in ("cp1252", "latin-1"):
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:  # five bytes mean nothing in Windows-1252; Latin-1 takes all
            continue
        return text.encode(), (f"{where} is not UTF-8: read as {encoding}; save it as UTF-8 if letters look wrong",)
    raise AssertionError("Latin-1 decodes every byte")


def _marked(data: bytes, encoding: str, where: str) -> tuple[bytes, tuple[str, ...]]:
    if encoding == "utf-8" and _is_utf8(data):
        _refuse_zeros(data, where)
        return data, ()
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{where} must be {encoding}, as its first bytes say, however: {error.reason}; save it as UTF-8"
        ) from error
    if "\0" in text:
        raise _binary(where, text.index("\0"))
    return text.encode(), (f"{where} is read as {encoding}, as its first bytes say",)


def _is_utf8(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(data), _BLOCK):
            decoder.decode(data[start : start + _BLOCK], final=start + _BLOCK >= len(data))
    except UnicodeDecodeError:
        return False
    return True


def _refuse_zeros(data: bytes, where: str) -> None:
    if (position := data.find(b"\0")) >= 0:
        raise _binary(where, position)


def _binary(where: str, position: int) -> DataError:
    return DataError(f"{where} must hold text, however position {position} holds a zero byte; save it as UTF-8 text")
