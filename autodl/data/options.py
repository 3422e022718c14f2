"""Everything that the user may say about the data, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from autodl.errors import DataError
from autodl.records import COLUMN_KINDS, ColumnKind

_TASKS = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class DataOptions:
    """What the user says; ``DataOptions(**dataclasses.asdict(options))`` is the same again, also through JSON.

    Attributes:
        target: The column to predict; folders of images and built-in sets have their own.
        task: ``binary``, ``multiclass`` or ``regression``; inferred where None.
        columns: Kinds of columns, over what is inferred.
        ignore: Columns to leave out.
        keep: Columns to keep that would be left out (constant, an id, equal to the target).
        root: The folder that relative image paths start at; the table's own where None.
        group: A column whose equal values stay in one part of the split; it is no feature.
        time_order: A column of dates or numbers: the last rows are the test part, those before them the validation.
        validation: A file whose rows are the validation part.
        test: A file whose rows are the test part.
        test_share: The test part, of the rows.
        validation_share: The validation part, of the rows that are left.
        seed: Source of the split.

    Raises:
        DataError: A kind, a task or a share is not possible.
    """

    target: str | None = None
    task: str | None = None
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()
    root: str | None = None
    group: str | None = None
    time_order: str | None = None
    validation: str | None = None
    test: str | None = None
    test_share: float = 0.2
    validation_share: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns", dict(self.columns))
        object.__setattr__(self, "ignore", tuple(self.ignore))
        object.__setattr__(self, "keep", tuple(self.keep))
        for name, kind in self.columns.items():
            if kind not in COLUMN_KINDS:
                raise DataError(
                    f"--column {name}=KIND must name a kind, however '{kind}' came; choose {', '.join(COLUMN_KINDS)}"
                )
        if self.task is not None and self.task not in _TASKS:
            raise DataError(f"--task must be one of {', '.join(_TASKS)}, however '{self.task}' came; choose one")
        for name in ("test_share", "validation_share"):
            if not 0 < getattr(self, name) < 1:
                raise DataError(
                    f"{name} must lie between 0 and 1, however {getattr(self, name)} came; 0.2 is a usual one"
                )
        if self.group is not None and self.time_order is not None:
            raise DataError("one of --group and --time-order must be chosen, however both came; drop one")

    def named(self) -> Iterator[tuple[str, str]]:
        """Every column that is named, with the option that names it."""
        yield from (("--column", name) for name in self.columns)
        yield from (("--ignore", name) for name in self.ignore)
        yield from (("--keep", name) for name in self.keep)
        yield from (("--group", name) for name in (self.group,) if name is not None)
        yield from (("--time-order", name) for name in (self.time_order,) if name is not None)
