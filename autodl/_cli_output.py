"""Predictions as a table, and as CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autodl.errors import AutoDLError

if TYPE_CHECKING:
    import pandas as pd

    from autodl.predictor import Predictor

_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell that begins so


def predictions(predictor: Predictor, data: Any, root: str | None, probabilities: bool) -> pd.DataFrame:
    """One row a row of the data: the prediction and, if asked for, the probability of each class."""
    if not probabilities:
        return predictor.predict(data, root).to_frame()
    shares = predictor.predict_proba(data, root)
    likeliest = shares.columns.take(shares.to_numpy().argmax(axis=1))
    table = shares.set_axis([f"probability_{label}" for label in shares.columns], axis=1)
    table.insert(0, predictor.task.target, likeliest, allow_duplicates=True)
    return table


def csv_text(frame: pd.DataFrame) -> str:
    """The frame as CSV; texts that a spreadsheet would run get an apostrophe in front."""
    columns = [[harmless(cell) for cell in frame.iloc[:, at].tolist()] for at in range(frame.shape[1])]
    head = [harmless(name) for name in frame.columns]
    returns = any("\r" in cell for cell in chain(head, *columns) if isinstance(cell, str))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if returns:  # a lone carriage return is left bare otherwise
        writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(head)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue()


def harmless(cell: Any) -> Any:
    """The cell, or where a spreadsheet would run it, the cell behind an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def check_output(name: str) -> Path:
    """Return the path of a file to write; refuse one that cannot be written before any work is done.

    Raises:
        AutoDLError: Its folder does not exist, or it is a folder itself.
    """
    path = Path(name)
    if path.is_dir():
        raise AutoDLError(f"-o must name a file, however {path} is a folder; add a file's name to it")
    if not path.absolute().parent.is_dir():
        raise AutoDLError(f"-o must name a file in a folder that exists, however {path.parent} does not; make it first")
    return path
