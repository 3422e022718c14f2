from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from autodl.data.rows import load_part, load_rows
from autodl.errors import DataError
from autodl.records import Column, Schema, Task

SCHEMA = Schema((Column("age", "number"), Column("zip", "category"), Column("id", "ignored", "an id")))
TASK = Task("y", "binary", ("no", "yes"))


def rows(**columns) -> pd.DataFrame:
    return pd.DataFrame({"age": [1, 2], "zip": ["a", "b"]} | columns)


def test_rows_without_a_target():
    frame, targets = load_rows(rows(more=[[1], [2]]), SCHEMA, TASK)
    assert frame.columns.tolist() == ["age", "zip"]
    assert targets is None


def test_rows_with_targets_keep_those_that_miss_theirs():
    frame, targets = load_rows(rows(y=["yes", None]), SCHEMA, TASK)
    assert targets.tolist() == [1, -1]
    assert len(frame) == 2
    _, numbers = load_rows(rows(y=[1.5, None]), SCHEMA, Task("y", "regression"))
    np.testing.assert_array_equal(numbers, [1.5, np.nan])


def test_several_targets_are_read_where_all_are_there(tmp_path):
    task = Task("y", "multioutput", further=("z",))
    _, targets = load_rows(rows(y=[1, 2], z=[3.5, None]), SCHEMA, task)
    np.testing.assert_array_equal(targets, [[1, 3.5], [2, np.nan]])
    assert load_rows(rows(y=[1, 2]), SCHEMA, task)[1] is None
    (tmp_path / "t.csv").write_text("age,zip,y,z\n1,a,1,2\n2,b,3,\n")
    assert load_part(str(tmp_path / "t.csv"), SCHEMA, task, None).targets.tolist() == [[1, 2]]
    (tmp_path / "t.csv").write_text("age,zip,y\n1,a,1\n")
    with pytest.raises(DataError, match="must have the target, however 'z' is not there"):
        load_part(str(tmp_path / "t.csv"), SCHEMA, task, None)


def test_a_part_has_the_weights_of_its_rows(tmp_path):
    (tmp_path / "t.csv").write_text("age,zip,y,w\n1,a,yes,1\n2,b,,2\n3,c,no,5\n")
    part = load_part(str(tmp_path / "t.csv"), SCHEMA, TASK, None, "w")
    assert part.weights.tolist() == [1, 5]
    with pytest.raises(DataError, match="must have the column of --sample-weight, however 'v' is not there"):
        load_part(str(tmp_path / "t.csv"), SCHEMA, TASK, None, "v")


def test_words_of_digits_stay_the_words_they_were(tmp_path):
    (tmp_path / "t.csv").write_text("age,zip,y\n1,00127,01\n2,90210,02\n")
    task = Task("y", "binary", ("01", "02"))
    frame, targets = load_rows(tmp_path / "t.csv", SCHEMA, task)
    assert frame["zip"].tolist() == ["00127", "90210"]
    assert targets.tolist() == [0, 1]


def test_cells_that_cannot_be_read_are_told():
    frame, _ = load_rows(rows(age=["1", "abc"]), SCHEMA, TASK)
    assert frame["age"].isna().tolist() == [False, True]
    assert "1 of 2 cells cannot be read as number" in frame.attrs["notes"][0]


def test_columns_that_lack_are_named_with_the_nearest():
    with pytest.raises(
        DataError, match="columns of the training table, however 'age' is not there; did you mean 'Age'"
    ):
        load_rows(rows().rename(columns={"age": "Age"}), SCHEMA, TASK)
    with pytest.raises(DataError, match="'age', 'zip' are not there"):
        load_rows(pd.DataFrame({"x": [1]}), SCHEMA, TASK)


def test_an_unseen_class_is_refused():
    with pytest.raises(DataError, match="must hold the classes no, yes, however 'maybe' came"):
        load_rows(rows(y=["yes", "maybe"]), SCHEMA, TASK)


def test_paths_start_at_the_table_or_at_the_root_and_stay_in(tmp_path):
    schema = Schema((Column("image", "image"),))
    (tmp_path / "other").mkdir()
    table = tmp_path / "t.csv"
    table.write_text("image,n\na.png,1\n")
    assert load_rows(table, schema, TASK)[0]["image"][0] == str(tmp_path / "a.png")
    assert load_rows(table, schema, TASK, tmp_path / "other")[0]["image"][0] == str(tmp_path / "other" / "a.png")
    table.write_text("image,n\n../a.png,1\n")
    with pytest.raises(DataError, match="must stay inside"):
        load_rows(table, schema, TASK)


def test_a_flat_folder_of_images_is_rows_without_targets(tmp_path):
    (tmp_path / "a.png").touch()
    frame, targets = load_rows(tmp_path, Schema((Column("image", "image"),)), Task("label", "binary", ("cat", "dog")))
    assert frame["image"].tolist() == [str(tmp_path / "a.png")]
    assert targets is None


def test_a_part_drops_rows_without_a_target(tmp_path):
    (tmp_path / "t.csv").write_text("age,zip,y\n1,a,yes\n2,b,\n3,c,no\n")
    part = load_part(str(tmp_path / "t.csv"), SCHEMA, TASK, None)
    assert part.frame["age"].tolist() == [1.0, 3.0]
    assert part.targets.tolist() == [1, 0]
    assert part.notes == ("t.csv: 1 of 3 rows have no usable target: left out",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,zip,yy\n1,a,no\n", "must have the target, however 'y' is not there; did you mean 'yy'"),
        ("age,zip,y\n1,a,\n", "rows with a target"),
    ],
)
def test_a_part_without_targets_is_refused(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        load_part(str(tmp_path / "t.csv"), SCHEMA, TASK, None)
