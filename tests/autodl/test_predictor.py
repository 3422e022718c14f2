from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from autodl import registry, storage
from autodl.data.dataset import DataOptions, Dataset, load_dataset
from autodl.errors import DataError, PredictorError, RunError
from autodl.fitted import FittedMember, modality_key, structural_settings
from autodl.leaderboard import Leaderboard
from autodl.metrics import METRICS, default_metric
from autodl.modalities.tabular import Tabular
from autodl.predictor import Predictor, load
from autodl.records import Component, TrialConfig, TrialRecord
from autodl.training.data import training_data
from autodl.training.loop import Limits, Training

CPU = torch.device("cpu")


def usual(room: str, name: str, **changes: Any) -> Component:
    return Component(name, {**registry.ROOMS[room].load(name).space.defaults(), **changes})


def configuration(dataset: Dataset, seed: int, encoder: Component, features: float, **modality: Any) -> TrialConfig:
    pictures = dataset.schema.of_kind("image")
    name, kind = (pictures[0].name, "image") if pictures else ("table", "tabular")
    return TrialConfig(
        modalities={name: usual("modalities", kind, **modality)},
        encoders={name: encoder},
        loss=usual("losses", "cross_entropy" if dataset.task.is_classification else "squared_error"),
        optimizer=usual("optimizers", "adamw"),
        training={"batch_size": 32, "features": features},
        epochs=4,
        seed=seed,
    )


def fit(dataset: Dataset, configs: Sequence[TrialConfig]) -> Predictor:
    """Train each configuration, as a search would, and share the prediction evenly."""
    task = replace(dataset.task, metric=default_metric(dataset.task))
    modalities, specs, members, records = {}, {}, [], []
    train = dataset.split.train
    for number, config in enumerate(configs):
        keys = {name: modality_key(name, component) for name, component in config.modalities.items()}
        for name, component in config.modalities.items():
            room = registry.modalities.load(component.name)
            columns = [column for column in dataset.schema if column.name in room.claim(dataset.schema)[name]]
            modality = modalities[keys[name]] = room(columns, **structural_settings(component))
            specs[keys[name]] = modality.fit(dataset.frame.iloc[train], dataset.targets[train], task, seed=0)
        stored = {name: modalities[key].transform(dataset.frame) for name, key in keys.items()}
        seen = {name: specs[key] for name, key in keys.items()}
        rows = training_data(stored, seen, dataset.targets, task, [train, dataset.split.validation], device=CPU)
        (member,) = Training([config], rows, CPU).run(Limits(config.epochs))
        members.append(FittedMember(number, config, member.weights, 1.0))
        records.append(TrialRecord(number, "complete", config, member.score, member.epoch, member.best_epoch))
    board = Leaderboard(records, task.metric, False, {member.number: 1 / len(members) for member in members})
    scores = {"validation": {task.metric: board.records[0].score or 0.0}, "test": {}}
    facts = {"seed": 0, "seconds": 1.5, "notes": list(dataset.notes)}
    return Predictor(task, dataset.schema, members, modalities, specs, board, scores, facts, dataset.root)


def table(rows: int = 120) -> pd.DataFrame:
    """Numbers, categories, dates and truth values, with holes; the target is a word."""
    generator = np.random.default_rng(0)
    size = generator.normal(size=rows)
    frame = pd.DataFrame(
        {
            "size": np.where(generator.random(rows) < 0.1, np.nan, size),
            "colour": generator.choice(["red", "green", "blue"], rows),
            "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(generator.integers(0, 300, rows), unit="D"),
            "old": generator.random(rows) < 0.5,
            "noise": generator.normal(size=rows),
        }
    )
    frame["kind"] = np.where(size + (frame["colour"] == "red") > 0.4, "yes", "no")
    return frame


@pytest.fixture(scope="module")
def mixed() -> Predictor:
    """Two members that differ in encoder, scaling and kept columns."""
    dataset = load_dataset(table(), DataOptions(target="kind"))
    mlp = usual("encoders", "mlp", width=32, embedding="piecewise_linear", embedding_width=4, bins=8)
    configs = [
        configuration(dataset, 1, mlp, 0.4),
        configuration(dataset, 2, usual("encoders", "linear"), 0.2, scaling="quantile"),
    ]
    return fit(dataset, configs)


@pytest.fixture(scope="module")
def pictures() -> Predictor:
    cnn = usual("encoders", "cnn", channels=4, blocks=1, dense_width=64)
    dataset = load_dataset("digits", DataOptions())
    few = replace(dataset.split, train=dataset.split.train[:200], validation=dataset.split.validation[:60])
    return fit(replace(dataset, split=few), [configuration(dataset, 0, cnn, 1.0)])


def album(rows: int = 60) -> pd.DataFrame:
    """A picture and a number a row, with holes; the target is whether it is bright, or the number large."""
    generator = np.random.default_rng(1)
    light = generator.random(rows)
    picture = [(generator.random((8, 8)) * 155 + 100 * each).astype(np.uint8) for each in light]
    frame = pd.DataFrame({"number": generator.normal(size=rows), "picture": pd.Series(picture, dtype=object)})
    frame["y"] = (light + 0.3 * frame["number"] > 0.5).astype(int)
    frame.loc[::9, "picture"] = None
    return frame


@pytest.fixture(scope="module")
def album_and_table() -> Predictor:
    dataset = load_dataset(album(), DataOptions(target="y", columns={"picture": "image"}))
    first = configuration(dataset, 0, usual("encoders", "linear"), 1.0)
    config = replace(
        first,
        modalities={**first.modalities, "table": usual("modalities", "tabular")},
        encoders={**first.encoders, "table": usual("encoders", "mlp", depth=1, width=32)},
        fusion=usual("fusions", "concat"),
    )
    return fit(dataset, [config])


@pytest.fixture(scope="module")
def numbers() -> Predictor:
    dataset = load_dataset("diabetes", DataOptions())
    return fit(dataset, [configuration(dataset, 0, usual("encoders", "mlp", depth=1, width=32), 1.0)])


@pytest.mark.parametrize("name", ["mixed", "pictures", "album_and_table", "numbers"])
def test_saved_and_loaded_it_predicts_the_same_bits(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    predictor: Predictor = request.getfixturevalue(name)
    data = {"mixed": table(40), "pictures": "digits", "album_and_table": album(), "numbers": "diabetes"}[name]
    predictor.save(tmp_path)
    before = torch.get_rng_state()
    found = load(tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    if predictor.task.is_classification:
        pd.testing.assert_frame_equal(found.predict_proba(data), predictor.predict_proba(data), check_exact=True)
    pd.testing.assert_series_equal(found.predict(data), predictor.predict(data), check_exact=True)
    assert found.evaluate(data) == predictor.evaluate(data)
    for attribute in ("task", "schema", "scores", "facts", "root", "columns"):
        assert getattr(found, attribute) == getattr(predictor, attribute)
    assert found.leaderboard.to_json() == predictor.leaderboard.to_json()
    assert found.summary() == predictor.summary()
    found.save(tmp_path / "again")
    files = [sorted(file for file in folder.iterdir() if file.is_file()) for folder in (tmp_path, tmp_path / "again")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_learns(mixed: Predictor, pictures: Predictor, numbers: Predictor) -> None:
    assert mixed.evaluate(table())["roc_auc"] > 0.75
    assert pictures.evaluate("digits")["accuracy"] > 0.3
    assert numbers.evaluate("diabetes").keys() == {name for name in METRICS if "regression" in METRICS[name].tasks}


def test_a_row_is_predicted_alike_whatever_comes_with_it(mixed: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = table()
    whole = mixed.predict_proba(frame)
    for rows_per_batch in (1, 7, 50):
        monkeypatch.setattr(mixed, "rows_per_batch", rows_per_batch)
        np.testing.assert_allclose(mixed.predict_proba(frame), whole, atol=1e-6)
    monkeypatch.undo()
    for row in (0, 5, 119):
        np.testing.assert_allclose(mixed.predict_proba(frame.iloc[[row]]), whole.iloc[[row]], atol=1e-6)
    turned = frame.iloc[::-1]
    np.testing.assert_allclose(mixed.predict_proba(turned), whole[::-1], atol=1e-6)


def test_no_more_rows_than_a_batch_are_in_memory(mixed: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    true_transform = Tabular.transform

    def transform(self: Tabular, rows: pd.DataFrame) -> Any:
        seen.append(len(rows))
        return true_transform(self, rows)

    monkeypatch.setattr(Tabular, "transform", transform)
    many = pd.concat([table()] * 300, ignore_index=True)
    assert len(mixed.predict(many)) == 36_000
    assert max(seen) <= 8192
    monkeypatch.setattr(mixed, "rows_per_batch", 500)
    seen.clear()
    mixed.predict(many)
    assert max(seen) == 500


def test_the_columns_are_those_that_a_member_keeps(mixed: Predictor) -> None:
    assert mixed.columns == [name for name in table().columns if name in mixed.columns]
    assert 1 <= len(mixed.columns) <= 3  # 0.4 of 5 columns for one member, 0.2 for the other
    lesser = table(50)
    for name in set(lesser.columns) - {*mixed.columns, "kind"}:
        lesser[name] = lesser[name].sample(frac=1, random_state=0).to_numpy()
    np.testing.assert_array_equal(mixed.predict_proba(lesser), mixed.predict_proba(table(50)))


def test_missing_cells_and_unseen_categories_just_work(mixed: Predictor) -> None:
    frame = table(20)
    frame["size"] = None
    frame["colour"] = ["unheard of", None] * 10
    frame["day"] = pd.NaT
    found = mixed.predict_proba(frame)
    assert np.isfinite(found.to_numpy()).all()
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-6)


def test_rows_are_called_as_the_user_calls_them(mixed: Predictor) -> None:
    frame = table(6).set_index(pd.Index([3, 3, 1, 9, 9, 9], name="customer"))
    assert mixed.predict(frame).index.equals(frame.index)
    assert mixed.predict_proba(frame).index.equals(frame.index)
    assert mixed.predict(frame).name == "kind"
    assert mixed.predict_proba(frame).columns.tolist() == ["no", "yes"]


@pytest.mark.parametrize(
    ("no", "yes", "dtype"), [(False, True, "bool"), (0, 7, "int64"), ("n", "y", "str"), (0.5, 1.5, "float64")]
)
def test_classes_are_of_the_users_own_type(no: Any, yes: Any, dtype: str, mixed: Predictor, tmp_path: Path) -> None:
    """Whatever stands in the target's column of the data, which is "yes" and "no" here."""
    predictor = replace(mixed, task=replace(mixed.task, classes=(no, yes)))
    predictor.save(tmp_path)
    for each in (predictor, load(tmp_path, "cpu")):
        found = each.predict(table())
        assert found.dtype == dtype
        assert set(found) == {no, yes}
        assert each.predict_proba(table(5)).columns.tolist() == [no, yes]


def test_numbers_come_in_the_targets_unit_and_have_no_probabilities(numbers: Predictor) -> None:
    found = numbers.predict("diabetes")
    assert found.dtype == "float64"
    assert 50 < found.mean() < 250
    with pytest.raises(DataError, match="use predict"):
        numbers.predict_proba("diabetes")


def test_evaluation_leaves_out_rows_without_a_target(mixed: Predictor) -> None:
    frame = table(60)
    holes = frame.assign(kind=frame["kind"].where(np.arange(60) % 2 == 0))
    assert mixed.evaluate(holes) == pytest.approx(mixed.evaluate(frame.iloc[::2]), abs=1e-6)
    with pytest.raises(DataError, match="must have a known target"):
        mixed.evaluate(frame.assign(kind=None))
    with pytest.raises(DataError, match="must have the target 'kind'"):
        mixed.evaluate(frame.drop(columns="kind"))


def test_unreadable_pictures_are_counted_and_named(pictures: Predictor, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (column,) = pictures.schema.of_kind("image")
    frame = pd.DataFrame({column.name: ["broken.png", "gone.png", None]})
    with pytest.warns(UserWarning, match=r"count as missing: 2; the first is in column"):
        found = pictures.predict_proba(frame, root=tmp_path)
    assert np.isfinite(found.to_numpy()).all()


def test_an_unknown_device_is_refused(mixed: Predictor) -> None:
    with pytest.raises(RunError, match="must name a device"):
        mixed.to("toaster")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_predicts_the_same(mixed: Predictor, pictures: Predictor, tmp_path: Path) -> None:
    for predictor, data in ((mixed, table()), (pictures, "digits")):
        expected = predictor.predict_proba(data)
        predictor.save(tmp_path)
        moved = load(tmp_path)
        assert moved.device.type == "cuda"
        np.testing.assert_allclose(moved.predict_proba(data), expected, atol=1e-4)
        np.testing.assert_array_equal(moved.to("cpu").predict_proba(data), expected)


def test_loads_where_there_is_no_optuna(mixed: Predictor, tmp_path: Path) -> None:
    mixed.save(tmp_path / "run" / "predictor")
    table().to_csv(tmp_path / "table.csv", index=False)
    code = (
        "import sys; sys.modules['optuna'] = None; import autodl\n"
        f"predictor = autodl.load({str(tmp_path / 'run')!r}, device='cpu')\n"
        f"print(predictor.evaluate({str(tmp_path / 'table.csv')!r})['accuracy'])"
    )
    told = subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True)
    assert float(told.stdout) == pytest.approx(mixed.evaluate(tmp_path / "table.csv")["accuracy"])


def test_flipped_bits_in_any_file_are_refused(mixed: Predictor, tmp_path: Path) -> None:
    mixed.save(tmp_path)
    generator = random.Random(0)
    for file in sorted(tmp_path.iterdir()):
        whole = file.read_bytes()
        for _ in range(60):
            damaged = bytearray(whole)
            for _ in range(generator.randint(1, 3)):
                damaged[generator.randrange(len(whole))] = generator.randrange(256)
            file.write_bytes(damaged)
            if damaged != whole:
                with pytest.raises(PredictorError):
                    load(tmp_path, "cpu")
        file.write_bytes(whole)
    load(tmp_path, "cpu")


def tampered(predictor: Predictor, folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Save content that was changed, with right sums, as somebody who means harm could."""
    predictor.save(folder)
    content = storage.load(folder, "predictor")
    change(content)
    storage.save(folder, "predictor", content)


@pytest.mark.parametrize(
    "change",
    [
        *(lambda content, name=name: content.pop(name) for name in ("task", "ensemble", "leaderboard", "scores")),
        *(lambda content, name=name: content["ensemble"].pop(name) for name in ("members", "modalities", "own")),
        *(lambda content, name=name: content.update({name: 7}) for name in ("task", "ensemble", "schema", "root")),
        lambda content: content["ensemble"].update(requirements=7),
        lambda content: content["ensemble"]["members"].clear(),
        lambda content: content["ensemble"]["members"][0].update(share="much"),
        lambda content: content["ensemble"]["members"][0]["weights"].popitem(),
        lambda content: content["ensemble"]["members"][0]["weights"].update({"head.bias": torch.zeros(99)}),
        lambda content: content["ensemble"]["members"][0]["config"].update(modalities={}),
        lambda content: content["ensemble"]["modalities"][0].update(state={}),
        lambda content: content["ensemble"]["modalities"].pop(),
        lambda content: content["task"].update(classes=["one"]),
        lambda content: content["ensemble"]["requirements"].append(["no room", "x", "y"]),
    ],
)
def test_content_that_makes_no_sense_is_refused(
    mixed: Predictor, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    tampered(mixed, tmp_path, change)
    with pytest.raises(PredictorError) as caught:
        load(tmp_path, "cpu")
    assert "\n" not in str(caught.value)


def test_a_place_without_a_predictor_is_refused(mixed: Predictor, tmp_path: Path) -> None:
    with pytest.raises(PredictorError, match=r"there is no predictor\.json"):
        load(tmp_path, "cpu")
    with pytest.raises(PredictorError, match=r"there is no predictor\.json"):
        load(tmp_path / "nowhere", "cpu")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        mixed.save(tmp_path / "file")
