"""Everything that the user may say about the data, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from autodl.errors import DataError
from autodl.records import COLUMN_KINDS, ColumnKind
from autodl.tasks import TASK_KINDS

_SEVERAL = ("multilabel", "multioutput")
_MOST_QUANTILES = 19


@dataclass(frozen=True)
class DataOptions:
    """What the user says; ``DataOptions(**dataclasses.asdict(options))`` is the same again, also through JSON.

    Attributes:
        target: The columns to predict, or the one; folders of images and built-in sets have their own.
        task: One of ``TASK_KINDS``; inferred where None.
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
        quantiles: Levels between 0 and 1 to predict of the one target, a number.
        sample_weight: A column that says how much each row counts; it is no feature.

    Raises:
        DataError: A kind, a task, a share or a quantile is not possible, or two things do not go together.
    """

    target: tuple[str, ...] = ()
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
    quantiles: tuple[float, ...] = ()
    sample_weight: str | None = None

    def __post_init__(self) -> None:
        said = (self.target,) if isinstance(self.target, str) else tuple(self.target or ())
        object.__setattr__(self, "target", said)
        object.__setattr__(self, "columns", dict(self.columns))
        object.__setattr__(self, "ignore", tuple(self.ignore))
        object.__setattr__(self, "keep", tuple(self.keep))
        object.__setattr__(self, "quantiles", tuple(sorted(self.quantiles)))
        for name, kind in self.columns.items():
            if kind not in COLUMN_KINDS:
                raise DataError(
                    f"--column {name}=KIND must name a kind, however '{kind}' came; choose {', '.join(COLUMN_KINDS)}"
                )
        for name in ("test_share", "validation_share"):
            if not 0 < getattr(self, name) < 1:
                raise DataError(
                    f"{name} must lie between 0 and 1, however {getattr(self, name)} came; 0.2 is a usual one"
                )
        if self.group is not None and self.time_order is not None:
            raise DataError("one of --group and --time-order must be chosen, however both came; drop one")
        if self.sample_weight is not None and self.sample_weight in (*self.columns, *self.keep):
            raise DataError(
                f"--sample-weight is no feature, however --column or --keep names '{self.sample_weight}' too; drop one"
            )
        self._check_task()
        self._check_quantiles()

    def _check_task(self) -> None:
        if self.task is not None and self.task not in TASK_KINDS:
            raise DataError(f"--task must be one of {', '.join(TASK_KINDS)}, however '{self.task}' came; choose one")
        twice = [name for at, name in enumerate(self.target) if name in self.target[:at]]
        if twice:
            raise DataError(f"each --target must be another column, however '{twice[0]}' came twice; drop one")
        if len(self.target) > 1 and self.task not in (None, *_SEVERAL):
            raise DataError(
                f"--task {self.task} must have one --target, however {len(self.target)} came; say --task multilabel "
                "or multioutput, or leave it out"
            )
        if len(self.target) == 1 and self.task in _SEVERAL:
            raise DataError(f"--task {self.task} must have several --target, however one came; name more")

    def _check_quantiles(self) -> None:
        if self.task == "quantile" and not self.quantiles:
            raise DataError("--task quantile must have levels, however none came; say --quantiles 0.1,0.5,0.9")
        if not self.quantiles:
            return
        if not all(0 < level < 1 for level in self.quantiles) or len(set(self.quantiles)) < len(self.quantiles):
            raise DataError(
                f"--quantiles must be different numbers between 0 and 1, however {_listed(self.quantiles)} came; "
                "write for example 0.1,0.5,0.9"
            )
        if len(self.quantiles) > _MOST_QUANTILES:
            raise DataError(
                f"--quantiles must be at most {_MOST_QUANTILES}, however {len(self.quantiles)} came; drop some"
            )
        if len(self.target) > 1 or self.task not in (None, "regression", "quantile"):
            came = f"{len(self.target)} targets" if len(self.target) > 1 else f"--task {self.task}"
            raise DataError(f"--quantiles must be of one number, however {came} came; leave --quantiles out")

    def named(self) -> Iterator[tuple[str, str]]:
        """Every column that is named, with the option that names it."""
        yield from (("--column", name) for name in self.columns)
        yield from (("--ignore", name) for name in self.ignore)
        yield from (("--keep", name) for name in self.keep)
        yield from (("--group", name) for name in (self.group,) if name is not None)
        yield from (("--time-order", name) for name in (self.time_order,) if name is not None)
        yield from (("--sample-weight", name) for name in (self.sample_weight,) if name is not None)


def _listed(numbers: tuple[float, ...]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
