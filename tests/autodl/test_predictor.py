from __future__ import annotations

import functools
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

from autodl import estimating, registry, storage
from autodl.calibration import Calibration, fit_calibration
from autodl.data.dataset import DataOptions, Dataset, load_dataset, load_rows
from autodl.data.folds import cross_validated
from autodl.errors import DataError, PredictorError, RunError
from autodl.fitted import FittedMember, modality_key, structural_settings
from autodl.intervals import fit_conformal, measured_coverage
from autodl.leaderboard import Leaderboard
from autodl.metrics import METRICS, default_metric, get_metric
from autodl.modalities.tabular import Tabular
from autodl.predictor import Predictor, load
from autodl.records import Component, Task, TrialConfig, TrialRecord
from autodl.training.data import TrainingData, training_data
from autodl.training.loop import Limits, Training
from autodl.tuning.executors._estimate import flat_rows

CPU = torch.device("cpu")


def usual(room: str, name: str, **changes: Any) -> Component:
    return Component(name, {**registry.ROOMS[room].load(name).space.defaults(), **changes})


def configuration(dataset: Dataset, seed: int, encoder: Component, features: float, **modality: Any) -> TrialConfig:
    pictures = dataset.schema.of_kind("image")
    name, kind = (pictures[0].name, "image") if pictures else ("table", "tabular")
    losses = {"multilabel": "binary_cross_entropy", "quantile": "pinball"}
    usually = "cross_entropy" if dataset.task.is_classification else "squared_error"
    target = dataset.task.scales[-1].name if dataset.task.scales else "none"
    return TrialConfig(
        modalities={name: usual("modalities", kind, **modality)},
        encoders={name: encoder},
        loss=usual("losses", losses.get(dataset.task.kind, usually)),
        optimizer=usual("optimizers", "adamw"),
        training={"batch_size": 32, "features": features, "target": target},
        epochs=4,
        seed=seed,
    )


def learner(name: str, seed: int = 0, **settings: Any) -> TrialConfig:
    part = usual("estimators", name, **settings)
    nothing = Component("")
    return TrialConfig({"table": usual("modalities", "tabular")}, {}, nothing, nothing, {}, 1, seed, estimator=part)


def trained(dataset: Dataset, task: Task, config: TrialConfig, rows: TrainingData) -> tuple[dict[str, Any], Any]:
    """Weights of a network or an estimator each fold, and what they said of the rows that they were not fitted on."""
    if config.estimator:
        x = flat_rows(rows)
        folds = dataset.split.folds
        fitted, told = estimating.fit_folds(config, x, dataset.targets, task, folds, None, stop=lambda: False)
        return {"learnt": torch.frombuffer(bytearray(estimating.save(fitted)), dtype=torch.uint8)}, told
    (member,) = Training([config], rows, CPU).run(Limits(config.epochs))
    assert member.predictions is not None
    return dict(member.weights), member.predictions.double().numpy()


def fit(dataset: Dataset, configs: Sequence[TrialConfig]) -> Predictor:
    """Train each configuration, as a search would, and share the prediction evenly."""
    task = replace(dataset.task, metric=default_metric(dataset.task))
    modalities, specs, members, records, told = {}, {}, [], [], []
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
        rows = training_data(stored, seen, dataset.targets, task, dataset.split.folds, device=CPU)
        weights, said = trained(dataset, task, config, rows)
        score = float(get_metric(task.metric, task).function(rows.judged_truth, said))
        members.append(FittedMember(number, config, weights, 1.0))
        records.append(TrialRecord(number, "complete", config, score, config.epochs, config.epochs))
        told.append(said)
    blend = np.mean(told, axis=0)
    calibration = fit_calibration(blend, rows.judged_truth, task)
    greater = get_metric(task.metric, task).greater_is_better
    board = Leaderboard(records, task.metric, greater, {member.number: 1 / len(members) for member in members})
    return Predictor(
        task,
        dataset.schema,
        members,
        modalities,
        specs,
        board,
        calibration,
        fit_conformal(calibration.apply(blend), rows.judged_truth, task),
        scores={"validation": {task.metric: board.records[0].score or 0.0}, "test": {}},
        facts={"seed": 0, "seconds": 1.5, "notes": list(dataset.notes)},
        root=dataset.root,
    )


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
    dataset = load_dataset(table(), DataOptions(target=("kind",)))
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
    dataset = load_dataset(album(), DataOptions(target=("y",), columns={"picture": "image"}))
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


def sheet(rows: int = 90) -> pd.DataFrame:
    """Numbers, and a target of each kind."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(rows, 4))
    noise = 0.2 * generator.normal(size=rows)
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    return frame.assign(
        word=np.where(x[:, 0] + noise > 0, "yes", "no"),
        colour=np.array(["red", "green", "blue"])[np.digitize(x[:, 1] + noise, [-0.5, 0.5])],
        size=np.exp(2 + x[:, 0] - x[:, 2] + noise),
        weight=10 * x[:, 1] + noise,
        loud=(x[:, 2] + noise > 0).astype(int),
        tall=(x[:, 3] + noise > 0.5).astype(int),
    )


TARGETS = {
    "binary": DataOptions(target=("word",)),
    "multiclass": DataOptions(target=("colour",)),
    "multilabel": DataOptions(target=("loud", "tall"), task="multilabel"),
    "regression": DataOptions(target=("size",)),
    "multioutput": DataOptions(target=("size", "weight"), task="multioutput"),
    "quantile": DataOptions(target=("size",), quantiles=(0.1, 0.5, 0.9)),
}


@pytest.fixture(scope="module")
def of_kind() -> Callable[[str], Predictor]:
    """Two networks and an estimator, each of three folds, of a kind of task; made once."""

    @functools.cache
    def make(kind: str) -> Predictor:
        options = TARGETS[kind]
        dataset = cross_validated(load_dataset(sheet()[[*"abcd", *options.target]], options), 3)
        assert dataset.task.kind == kind
        mlp = usual("encoders", "mlp", depth=1, width=32)
        configs = [configuration(dataset, seed, mlp, 1.0) for seed in (1, 2)]
        return fit(dataset, [*configs, learner("k_neighbors", neighbors=5)])

    return make


@pytest.mark.parametrize("name", ["mixed", "pictures", "album_and_table", "numbers", *TARGETS])
def test_saved_and_loaded_it_predicts_the_same_bits(
    name: str, tmp_path: Path, request: pytest.FixtureRequest, of_kind: Callable[[str], Predictor]
) -> None:
    predictor: Predictor = of_kind(name) if name in TARGETS else request.getfixturevalue(name)
    data = {"mixed": table(40), "pictures": "digits", "album_and_table": album(), "numbers": "diabetes"}
    rows = sheet() if name in TARGETS else data[name]
    predictor.save(tmp_path)
    before = torch.get_rng_state()
    found = load(tmp_path, "cpu")
    assert torch.equal(torch.get_rng_state(), before)
    if not predictor.task.is_numeric:
        pd.testing.assert_frame_equal(found.predict_proba(rows), predictor.predict_proba(rows), check_exact=True)
    if predictor.task.kind != "multilabel":
        pd.testing.assert_frame_equal(found.predict_interval(rows), predictor.predict_interval(rows), check_exact=True)
    pd.testing.assert_frame_equal(*(pd.DataFrame(each.predict(rows)) for each in (found, predictor)), check_exact=True)
    assert found.evaluate(rows) == predictor.evaluate(rows)
    for attribute in ("task", "schema", "scores", "facts", "root", "columns", "calibration"):
        assert getattr(found, attribute) == getattr(predictor, attribute)
    assert found.leaderboard.to_json() == predictor.leaderboard.to_json()
    assert found.summary() == predictor.summary()
    found.save(tmp_path / "again")
    files = [sorted(file for file in folder.iterdir() if file.is_file()) for folder in (tmp_path, tmp_path / "again")]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


@pytest.mark.parametrize("kind", TARGETS)
def test_the_folds_of_a_member_predict_their_mean(kind: str, of_kind: Callable[[str], Predictor]) -> None:
    """As one predictor a fold would, and all members together the mean of the members."""
    whole, frame, parts = of_kind(kind), sheet(), []
    for member in whole.members:
        assert member.folds == (1 if member.config.estimator else 3)
        alone = [member]
        if not member.config.estimator:
            cut = [{name: t[fold : fold + 1] for name, t in member.weights.items()} for fold in range(3)]
            alone = [replace(member, weights=weights) for weights in cut]
        own = [replace(whole, members=[replace(each, share=1.0)], calibration=Calibration()) for each in alone]
        rows = [load_rows(frame, whole.schema, whole.task, None)[0]] * len(own)
        parts.append(np.mean([each.predict_frame(row) for each, row in zip(own, rows, strict=True)], axis=0))
    expected = whole.calibration.apply(np.mean(parts, axis=0))
    found = whole.predict_frame(load_rows(frame, whole.schema, whole.task, None)[0])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [kind for kind in TARGETS if kind != "multilabel"])
def test_intervals_grow_with_the_coverage_and_hold_what_is_asked(
    kind: str, of_kind: Callable[[str], Predictor]
) -> None:
    """Of rows that the folds' mean is better at than each fold was, rather more than is asked."""
    predictor = of_kind(kind)
    frame, targets = load_rows(sheet(), predictor.schema, predictor.task, None)
    found = predictor.predict_frame(frame)
    conformal, task = predictor.conformal, predictor.task
    measured = [measured_coverage(conformal, task, found, targets, share) for share in (0.5, 0.9)]
    assert measured[0] is not None
    assert measured[1] is not None
    assert measured[0]["size"] < measured[1]["size"]
    assert measured[0]["measured"] < measured[1]["measured"]
    assert measured[1]["measured"] >= 0.85
    assert measured[1]["asked"] == 0.9


def test_where_errors_are_not_known_there_are_no_intervals(
    mixed: Predictor, of_kind: Callable[[str], Predictor]
) -> None:
    with pytest.raises(DataError, match="must know its errors"):
        replace(mixed, conformal=None).predict_interval(table(5))
    with pytest.raises(DataError, match="use their probabilities"):
        of_kind("multilabel").predict_interval(sheet(5))


@pytest.mark.parametrize("kind", ["binary", "multilabel"])
def test_what_is_predicted_is_what_is_scored(kind: str, of_kind: Callable[[str], Predictor], tmp_path: Path) -> None:
    """Where the line between classes is not at one half, metrics of decisions see it, those of probabilities not."""
    plain = of_kind(kind)
    cuts = (0.2,) if kind == "binary" else (0.2, 0.7)
    shifted = replace(plain, calibration=replace(plain.calibration, thresholds=cuts))
    shifted.save(tmp_path)
    frame = sheet()
    truth = frame[list(plain.task.targets)].to_numpy()
    for each in (shifted, load(tmp_path, "cpu")):
        said = pd.DataFrame(each.predict(frame)).to_numpy()
        assert (said != pd.DataFrame(plain.predict(frame)).to_numpy()).any()
        assert each.evaluate(frame)["accuracy"] == pytest.approx((said == truth).mean())
        assert each.evaluate(frame)["log_loss"] == plain.evaluate(frame)["log_loss"]


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
    np.testing.assert_allclose(mixed.predict_proba(frame.iloc[[5]]), whole.iloc[[5]], atol=1e-6)
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
        found = replace(pictures, calibration=Calibration(prior=(0.1,) * 10)).predict_proba(frame, root=tmp_path)
    np.testing.assert_array_equal(found, 0.1)  # nothing is known of these rows


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
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PredictorError, match=r"there is no predictor\.json"):
            load(place, "cpu")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="must be writable"):
        mixed.save(tmp_path / "file")
