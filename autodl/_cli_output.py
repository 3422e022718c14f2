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


def predictions(
    predictor: Predictor, data: Any, root: str | None, probabilities: bool, interval: float | None = None
) -> pd.DataFrame:
    """One row a row of the data: what is predicted and, if asked for, its range or set, and probabilities.

    Raises:
        AutoDLError: The interval is no share; or the predictor cannot do what is asked for.
    """
    import pandas as pd

    if interval is None:
        found = predictor.predict(data, root)
        table = found.to_frame() if isinstance(found, pd.Series) else found
    else:
        table = predictor.predict_interval(data, check_interval(interval), root)
    if not probabilities:
        return table
    shares = predictor.predict_proba(data, root).add_prefix("probability_")
    return pd.concat([table, shares], axis=1)


def check_interval(share: float) -> float:
    """Return the share of rows that an interval shall hold the truth of.

    Raises:
        AutoDLError: It does not lie between 0 and 1.
    """
    if not 0 < share < 1:
        raise AutoDLError(f"--interval must lie between 0 and 1, however {share:g} came; 0.9 is a usual one")
    return share


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


def plain(value: Any) -> Any:
    """The value with None for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return None if isinstance(value, float) and (value != value or value in (float("inf"), -float("inf"))) else value
