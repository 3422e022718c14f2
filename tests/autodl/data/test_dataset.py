from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autodl.data import unpacking
from autodl.data.dataset import DataOptions, Dataset, load_dataset, load_rows
from autodl.errors import DataError
from autodl.records import column_names


def load(source, target: str | tuple[str, ...] | None = "churn", **options) -> Dataset:
    return load_dataset(source, DataOptions(target=target, **options))


def kinds(dataset: Dataset) -> dict[str, str]:
    return {column.name: column.kind for column in dataset.schema}


def refused(message: str, source, target: str | tuple[str, ...] | None = "churn", **options) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load(source, target, **options)
    assert "\n" not in str(caught.value)


@pytest.fixture
def csv(people, tmp_path) -> Path:
    people.to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


def test_a_csv_becomes_rows_schema_task_and_split(csv):
    dataset = load(csv)
    assert kinds(dataset) == {
        "age": "number",
        "income": "number",
        "city": "category",
        "member": "boolean",
        "joined": "date",
    }
    assert dataset.frame.columns.tolist() == ["age", "income", "city", "member", "joined"]
    assert dataset.frame.index.tolist() == list(range(60))
    assert (dataset.task.kind, dataset.task.classes) == ("binary", ("goes", "stays"))
    assert dataset.targets.tolist() == [1, 1, 0] * 20
    assert sorted(np.concatenate([dataset.split.train, dataset.split.validation, dataset.split.test])) == list(
        range(60)
    )
    assert dataset.source == str(csv)
    assert dataset.root == csv.parent
    assert dataset.notes == (
        "task: binary, 'churn' has two values",
        "split: 38 training, 10 validation, 12 test rows: stratified by class, seed 0",
    )


def test_every_source_gives_the_same_dataset(csv, people):
    polars = pytest.importorskip("polars")
    first = load(csv)
    people.to_json(csv.with_suffix(".jsonl"), orient="records", lines=True)
    csv.with_suffix(".csv.gz").write_bytes(gzip.compress(csv.read_bytes()))
    for source in (csv.with_suffix(".jsonl"), csv.with_suffix(".csv.gz"), people, polars.from_pandas(people)):
        dataset = load(source)
        pd.testing.assert_frame_equal(dataset.frame, first.frame)
        assert dataset.task == first.task
        assert dataset.schema == first.schema
        np.testing.assert_array_equal(dataset.split.test, first.split.test)


def test_the_users_frame_stays_as_it_was(people):
    before = people.copy()
    dataset = load(people.assign(age=people["age"].astype(float)))
    dataset.frame.loc[:, "age"] = 0.0
    dataset.targets[:] = 0
    pd.testing.assert_frame_equal(people, before)


def test_the_fingerprint_tells_changed_content(csv, people):
    first = load(csv).fingerprint
    assert load(csv, seed=5, ignore=["age"]).fingerprint == first
    assert load(csv, test=str(csv)).fingerprint != first
    people.assign(age=1 + people["age"]).to_csv(csv, index=False)
    assert load(csv).fingerprint != first


def test_rows_without_a_target_are_left_out_and_told(people):
    people.loc[[3, 7], "churn"] = None
    dataset = load(people)
    assert len(dataset.frame) == len(dataset.targets) == 58
    assert "2 of 60 rows have no usable target 'churn': left out" in dataset.notes


def test_columns_of_no_use_are_left_out_and_told_and_kept_where_asked(people):
    people = people.assign(number=range(60), unit="kg", code=people["churn"].map({"stays": "S", "goes": "G"}))
    dataset = load(people)
    assert [kinds(dataset)[name] for name in ("number", "unit", "code")] == ["ignored"] * 3
    assert dataset.frame.columns.tolist() == ["age", "income", "city", "member", "joined"]
    assert "left out: 'code' (one value for each class of the target)" in dataset.notes
    assert "left out: 'unit' (the same value in every row)" in dataset.notes
    assert "left out: 'number' (all 60 whole numbers are different: an id)" in dataset.notes
    dataset = load(people, keep=["number", "code"], columns={"unit": "category"})
    assert [kinds(dataset)[name] for name in ("number", "unit", "code")] == ["number", "category", "category"]
    assert {"number", "unit", "code"} <= set(dataset.frame.columns)


def test_a_proportional_column_gives_a_regression_away(people):
    people = people.assign(euros=people["income"] / 11)
    dataset = load(people, "income")
    assert dataset.task.kind == "regression"
    assert kinds(dataset)["euros"] == "ignored"
    assert kinds(load(people, "income", columns={"euros": "number"}))["euros"] == "number"


def test_location_and_scale_are_those_of_training_rows(people):
    dataset = load(people, "income")
    (scale,) = dataset.task.scales
    assert scale.location[0] == pytest.approx(people["income"][dataset.split.train].mean())
    assert scale.scale[0] == pytest.approx(people["income"][dataset.split.train].std(ddof=0))


def test_several_numbers_are_one_task_and_no_features(people):
    people = people.assign(debt=people["income"] * people["age"], euros=people["income"] / 11)
    people.loc[[1, 2], "debt"] = None
    dataset = load(people, ("income", "debt"))
    assert (dataset.task.kind, dataset.task.targets) == ("multioutput", ("income", "debt"))
    assert dataset.targets.shape == (58, 2)
    assert kinds(dataset).keys() == {"age", "city", "member", "joined", "churn", "euros"}
    assert "left out: 'euros' ('income', divided by 11)" in dataset.notes
    assert "2 of 60 rows have no usable target 'income', 'debt': left out" in dataset.notes
    np.testing.assert_allclose(dataset.task.scale().location, dataset.targets[dataset.split.train].mean(0))
    again, targets = load_rows(people.dropna(), dataset.schema, dataset.task)
    np.testing.assert_array_equal(targets, dataset.targets)
    pd.testing.assert_frame_equal(again, dataset.frame)


def test_several_labels_are_one_task(people):
    people = people.assign(rich=people["income"] > 40_000, rare=[1] + [0] * 59)
    dataset = load(people, ("rich", "member", "rare"))
    assert (dataset.task.kind, dataset.task.scales) == ("multilabel", ())
    assert dataset.targets.tolist() == [
        [float(rich), float(member == "yes"), float(rare)]
        for rich, member, rare in zip(people["rich"], people["member"], people["rare"], strict=True)
    ]
    assert dataset.split.how.endswith("stratified by combination of labels, seed 0")
    late = load(people.sort_values("rare"), ("rich", "rare"), time_order="joined", test_share=0.1)
    assert not any("cannot be learnt" in note for note in late.notes)
    people["joined"] = people["joined"].to_numpy()[::-1]
    late = load(people, ("rich", "rare"), time_order="joined")
    assert "all training rows have the same 'rare': it cannot be learnt" in late.notes


def test_quantiles_of_a_number(people):
    dataset = load(people, "age", quantiles=(0.9, 0.1))
    assert (dataset.task.kind, dataset.task.quantiles, dataset.targets.ndim) == ("quantile", (0.1, 0.9), 1)
    assert dataset.task.n_outputs == 2


def test_weights_are_one_on_average_and_no_feature(people, csv):
    people = people.assign(w=np.arange(60.0), churn=people["churn"].where(people.index != 5))
    dataset = load(people, sample_weight="w")
    assert dataset.weights.mean() == pytest.approx(1)
    np.testing.assert_allclose(dataset.weights / dataset.weights[1], np.delete(np.arange(60.0), 5))
    assert kinds(dataset)["w"] == "ignored"
    assert "left out: 'w' (it says how much a row counts)" in dataset.notes
    assert load(people).weights is None
    people.dropna().head(9).to_csv(csv, index=False)
    assert len(load(people, sample_weight="w", test=str(csv)).weights) == 68
    people.dropna().drop(columns="w").to_csv(csv, index=False)
    refused("must have the column of --sample-weight", people, sample_weight="w", test=str(csv))
    refused("however all .* are 0", people.assign(w=0), sample_weight="w")
    refused("however 1 of 59 cells of 'w' hold no number", people.replace({"w": {7: None}}), sample_weight="w")
    refused("--sample-weight must name a column, however 'v' is none", people, sample_weight="v")


def test_cells_that_cannot_be_read_are_told(people):
    people["income"] = people["income"].astype(object)
    people.loc[[1, 2], "income"] = ["lots", np.inf]
    dataset = load(people)
    assert dataset.frame["income"].isna().sum() == 2
    assert any("1 of 60 cells hold infinity" in note for note in dataset.notes)
    assert any("1 of 60 cells cannot be read as number, such as 'lots'" in note for note in dataset.notes)


def test_given_files_are_exactly_the_parts(csv, people):
    validation, test = csv.with_name("validation.csv"), csv.with_name("test.jsonl")
    people.head(12).assign(more=1).to_csv(validation, index=False)
    people.tail(9).to_json(test, orient="records", lines=True)
    dataset = load(csv, validation=str(validation), test=str(test))
    assert dataset.split.train.tolist() == list(range(60))
    assert dataset.split.validation.tolist() == list(range(60, 72))
    assert dataset.split.test.tolist() == list(range(72, 81))
    assert dataset.frame["age"].tolist() == [*people["age"], *people["age"].head(12), *people["age"].tail(9)]
    assert dataset.targets[72:].tolist() == dataset.targets[51:60].tolist()
    assert dataset.frame.index.tolist() == list(range(81))
    only_test = load(csv, test=str(test))
    assert only_test.split.test.tolist() == list(range(60, 69))
    assert len(only_test.split.validation) == 12


def test_a_given_file_must_fit(csv, people):
    other = csv.with_name("other.csv")
    people.drop(columns="age").to_csv(other, index=False)
    refused("must have the columns of the training table, however 'age' is not there", csv, test=str(other))
    people.assign(churn="maybe").to_csv(other, index=False)
    refused("must hold the classes goes, stays, however 'maybe' came", csv, test=str(other))
    people.drop(columns="churn").to_csv(other, index=False)
    refused("must have the target, however 'churn' is not there", csv, validation=str(other))
    refused("nothing is called", csv, test=str(csv.with_name("none.csv")))


def test_groups_stay_whole(people):
    people = people.assign(house=[row // 4 for row in range(60)])
    dataset = load(people, group="house")
    assert kinds(dataset)["house"] == "ignored"
    houses = [
        set(people["house"][part]) for part in (dataset.split.train, dataset.split.validation, dataset.split.test)
    ]
    assert sum(map(len, houses)) == 15 == len(set.union(*houses))


def test_time_runs_from_training_to_test(people):
    dataset = load(people.sample(frac=1, random_state=0), time_order="joined")
    joined = dataset.frame["joined"]
    assert joined[dataset.split.train].max() < joined[dataset.split.validation].min()
    assert joined[dataset.split.validation].max() < joined[dataset.split.test].min()
    assert kinds(dataset)["joined"] == "date"


def test_a_class_that_no_training_row_has_is_told(people):
    people = people.sort_values("joined").assign(churn=["goes", "stays"] * 24 + ["later"] * 12)
    dataset = load(people, time_order="joined")
    assert "no training row has the class 'later': it cannot be learnt" in dataset.notes


def test_a_class_of_one_row_is_trained_on_and_told(people):
    people.loc[5, "churn"] = "maybe"
    dataset = load(people)
    assert 5 in dataset.split.train
    assert any(note.startswith("only one row has the class 'maybe'") for note in dataset.notes)


def test_text_and_audio_are_recognised_and_stay_in_the_schema(people):
    people = people.assign(
        review=[f"this is review number {row} of many" for row in range(60)], sound=[f"{row}.wav" for row in range(60)]
    )
    dataset = load(people)
    assert column_names(dataset.schema.of_kind("text", "audio")) == ["review", "sound"]
    assert dataset.frame["sound"][0].endswith("0.wav")


def test_a_folder_of_images_has_its_own_target(tmp_path):
    for row in range(12):
        path = tmp_path / ("cat" if row % 2 else "dog") / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    dataset = load(tmp_path, None)
    assert dataset.task.target == "label"
    assert dataset.task.classes == ("cat", "dog")
    assert kinds(dataset) == {"image": "image"}
    assert all(Path(path).is_file() for path in dataset.frame["image"])
    frame, targets = load_rows(tmp_path, dataset.schema, dataset.task)
    pd.testing.assert_frame_equal(frame, dataset.frame)
    np.testing.assert_array_equal(targets, dataset.targets)


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "iris", "diabetes"])
def test_built_in_sets_need_no_target(name):
    dataset = load(name, None)
    assert dataset.source == name
    assert all(column.kind == ("image" if name == "digits" else column.kind) for column in dataset.schema)
    assert "ignored" not in kinds(dataset).values()
    assert len(dataset.frame) == len(dataset.targets)


def test_relative_image_paths_start_at_the_root(people, tmp_path, monkeypatch):
    people = people.assign(photo=[f"{row}.jpg" for row in range(60)])
    monkeypatch.chdir(tmp_path)
    assert load(people).frame["photo"][0] == str(tmp_path / "0.jpg")
    (tmp_path / "photos").mkdir()
    dataset = load(people, root="photos")
    assert dataset.frame["photo"][0] == str(tmp_path / "photos" / "0.jpg")
    assert dataset.root == tmp_path / "photos"


def test_rows_to_predict_are_cast_as_training_rows_were(csv, people):
    dataset = load(csv)
    frame, targets = load_rows(people, dataset.schema, dataset.task)
    pd.testing.assert_frame_equal(frame, dataset.frame)
    np.testing.assert_array_equal(targets, dataset.targets)
    one, none = load_rows(people.drop(columns="churn").head(1), dataset.schema, dataset.task)
    pd.testing.assert_frame_equal(one, dataset.frame.head(1))
    assert none is None


def test_the_same_seed_gives_the_same_dataset(csv):
    one, two, other = load(csv, seed=1), load(csv, seed=1), load(csv, seed=2)
    np.testing.assert_array_equal(one.split.test, two.split.test)
    assert one.split.test.tolist() != other.split.test.tolist()


def test_ten_thousand_columns(tmp_path):
    rng = np.random.default_rng(0)
    wide = pd.DataFrame(rng.normal(size=(20, 10_000)).round(2)).add_prefix("x").assign(y=[0, 1] * 10)
    wide.to_csv(tmp_path / "wide.csv", index=False)
    dataset = load(tmp_path / "wide.csv", "y")
    assert dataset.frame.shape == (20, 10_000)
    refused("however 'x1O' is none; did you mean 'x1.*and 9,991 more", wide, "x1O")


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


ROWS_OF_TEXT = "".join(f"{row},{'abc'[row % 3]},{row % 2}\n" for row in range(20))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must hold a header and rows, however it is empty"),
        ("a,b,y\n", "must hold rows below its header, however there are none"),
        ("a,b,y\n1,2,3\n", "at least 10 rows, however 1 came"),
        ("a,b,y\n" + "1,2,0\n" * 20, "at least two values, however all 20 rows hold '0'"),
        ("a,b,z\n" + ROWS_OF_TEXT, "the target must be a column, however 'y' is none; known: a, b, z"),
        ("a,b,Y\n" + ROWS_OF_TEXT, "the target must be a column, however 'y' is none; did you mean 'Y'"),
        ("a,b,y\n" + "1,2,\n" * 20, "must hold values, however all 20 cells are empty"),
        ("a,b,y\n" + "1,2,0.5\n" * 10 + "1,2,inf\n" * 10, "must be finite, however 10 of 20 cells hold infinity"),
        ("a,a,y\n" + ROWS_OF_TEXT, "must be unique, however 'a' comes more than once"),
        ("a,b,y\n" + ROWS_OF_TEXT + "1,2,3,4\n", "one cell for each name of the header, however: Expected 3 fields"),
        ("a,b,y\n" + "1,2,0\n" * 9 + "1,2,1\n" + "1,2,\n" * 10, "however all 2 are left out"),
        ("a,b,y\n" + "1,2,0\n" * 8 + "1,2,1\n" + "1,2,\n" * 90, "at least 10 rows with a target, however"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "must hold text"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, text, message):
    refused(message, write(tmp_path / "t.csv", text), "y")


@pytest.mark.parametrize(
    "text",
    [
        ("\ufeffa,b,y\n" + ROWS_OF_TEXT).encode(),
        ("\ufeffa,b,y\n" + ROWS_OF_TEXT).encode("utf-16-le"),
        ("a,b,y\n" + ROWS_OF_TEXT.replace("a", "ä")).encode("latin-1"),
        ("a,b,y\n" + ROWS_OF_TEXT).replace(",", ";").encode(),
        ("a,b,y\n" + ROWS_OF_TEXT).replace(",", "\t").encode(),
        ("a,b,y\r\n" + ROWS_OF_TEXT.replace("\n", "\r\n")).encode(),
    ],
)
def test_odd_files_are_read_as_the_plain_one(tmp_path, text):
    plain = load(write(tmp_path / "plain.csv", "a,b,y\n" + ROWS_OF_TEXT), "y", keep=["a"])
    odd = load(write(tmp_path / "odd.csv", text), "y", keep=["a"])
    pd.testing.assert_frame_equal(odd.frame.replace("ä", "a"), plain.frame)
    np.testing.assert_array_equal(odd.targets, plain.targets)


def test_mixed_cells_are_refused_or_told(people, tmp_path):
    people["age"] = people["age"].astype(object)
    people.at[0, "age"] = [1, 2]
    refused("column 'age' must hold .* however 1 of 60 cells hold lists; drop it with --ignore age", people)
    assert kinds(load(people, ignore=["age"]))["age"] == "ignored"
    lines = [{"age": [1] if row < 3 else row, "b": row % 7, "churn": row % 2} for row in range(60)]
    path = write(tmp_path / "t.jsonl", "\n".join(map(json.dumps, lines)))
    refused("column 'age' must hold .* however 3 of 60 cells hold lists; drop it with --ignore age", path)


def test_an_archive_beyond_the_limit_is_refused(csv, monkeypatch):
    monkeypatch.setattr(unpacking, "SIZE_LIMIT", 1000)
    refused("must unpack to at most 1,000 bytes", write(csv.with_suffix(".csv.gz"), gzip.compress(csv.read_bytes())))


def test_a_path_outside_the_root_is_refused_everywhere(people, tmp_path):
    people = people.assign(photo=[f"{row}.jpg" for row in range(60)])
    path = tmp_path / "people.csv"
    people.to_csv(path, index=False)
    dataset = load(path)
    people.loc[3, "photo"] = "../secret.jpg"
    people.to_csv(path, index=False)
    message = "paths in column 'photo' must stay inside .* however '../secret.jpg' leads out of it"
    refused(message, path)
    with pytest.raises(DataError, match=message):
        load_rows(path, dataset.schema, dataset.task)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": None}, "the target must be named, however none was; say --target with one of 'age', 'income'"),
        ({"target": "chrun"}, "however 'chrun' is none; did you mean 'churn'"),
        ({"target": ("age", "chrun")}, "however 'chrun' is none; did you mean 'churn'"),
        ({"target": ("age", "churn")}, "'churn' must hold numbers or 0 and 1"),
        ({"sample_weight": "churn"}, "--sample-weight must name a feature, however 'churn' is the target"),
        ({"ignore": ["churn"]}, "--ignore must name a feature, however 'churn' is the target"),
        ({"columns": {"churn": "number"}}, "--column must name a feature, however 'churn' is the target"),
        ({"task": "regression"}, "must hold numbers for --task regression, however 60 of 60 cells hold words"),
        ({"root": "/no/such/folder", "columns": {"city": "image"}}, "the root must be a folder"),
        ({"group": "member"}, "--group must have at least 3 different values, however 2 came"),
        ({"time_order": "city"}, "--time-order must name a column of dates or numbers"),
        ({"ignore": ["age", "income", "city", "member", "joined"]}, "at least one column must be of use"),
    ],
)
def test_what_the_user_says_must_be_possible(people, options, message):
    options = {"target": "churn"} | options
    refused(message, people, **options)


def test_a_table_of_copies_is_refused(people):
    copies = people[["churn"]].assign(code=people["churn"].str.upper())
    refused("at least one column must be of use, however 'code' gives the target away", copies)


CELLS = st.none() | st.integers(-3, 3) | st.floats() | st.text(max_size=3) | st.booleans() | st.just("2020-01-02")


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=10, max_size=25))
def test_any_small_frame_gives_a_dataset_or_a_data_error(rows):
    frame = pd.DataFrame(rows, columns=["a", "b", "y"], dtype=object)
    try:
        dataset = load(frame, "y")
    except DataError as error:
        message = str(error)
    else:
        message = ""
        check(dataset, frame)
    assert "\n" not in message


def check(dataset: Dataset, frame: pd.DataFrame) -> None:
    split = dataset.split
    together = np.concatenate([split.train, split.validation, split.test])
    assert sorted(together.tolist()) == list(range(len(dataset.frame)))
    assert not dataset.frame.select_dtypes("number").isin([np.inf, -np.inf]).any(axis=None)
    rows, targets = load_rows(frame, dataset.schema, dataset.task)
    assert targets is not None
    assert len(rows) == len(frame)
