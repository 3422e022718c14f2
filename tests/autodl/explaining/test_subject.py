from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from autodl import registry
from autodl.calibration import Calibration
from autodl.errors import ExplanationError, UnknownNameError
from autodl.explaining.evidence import Evidence, draw
from autodl.explaining.request import PlayerKind, Request
from autodl.explaining.subject import Subject, filled, reference_words
from autodl.fitted import FittedEnsemble, FittedMember, modality_key
from autodl.network import Network
from autodl.predictor import Predictor
from autodl.records import Column, Component, Schema, Task, TrialConfig
from autodl.registry import explainers

SECONDS = 30.0  # nothing here comes near


@pytest.mark.parametrize("name", ["networks", "learners"])
def test_values_sum_to_what_is_predicted(name: str, rows: pd.DataFrame, request: pytest.FixtureRequest) -> None:
    """Exactly: four columns are few enough for all coalitions."""
    predictor: Predictor = request.getfixturevalue(name)
    found = predictor.explain(rows, background=8)
    assert found.outputs == ("no", "yes")
    assert found.output == "yes"
    assert list(found.values.columns) == ["age", "plan", "noise", "day"]
    np.testing.assert_allclose(found.predicted, predictor.predict_proba(rows)["yes"], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-5)
    np.testing.assert_allclose(found.of("no").values, -found.values, atol=1e-5)
    assert found.standard_error is None
    assert found.baseline_words == "8 training rows"
    assert len(found.baseline) == 8


def test_what_matters_is_found(networks: Predictor, rows: pd.DataFrame) -> None:
    found = networks.explain(rows, background=16)
    assert found.importance().index[0] in ("age", "plan")


def test_numbers_are_shared_out_in_their_unit(numbers: Predictor, rows: pd.DataFrame) -> None:
    found = numbers.explain(rows.drop(columns="left"), background=4)
    assert found.quantity == "number"
    assert found.outputs == ("spent",)
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, rtol=1e-4)


def test_rows_are_chosen_by_position_and_called_as_the_user_calls_them(networks: Predictor, rows: pd.DataFrame) -> None:
    mine = rows.set_index(pd.Index([f"r{n}" for n in range(len(rows))]))
    assert list(networks.explain(mine, rows=[3, 0], background=1).values.index) == ["r3", "r0"]
    assert list(networks.explain(mine, rows=3, background=1).values.index) == ["r0", "r6", "r11"]
    with pytest.raises(ExplanationError, match="positions below 12, however 12 came"):
        networks.explain(mine, rows=[12])


def test_a_member_can_be_explained_alone(networks: Predictor, rows: pd.DataFrame) -> None:
    numbers = [member.number for member in networks.members]
    whole = networks.explain(rows, background=4)
    alone = [networks.explain(rows, trial=number, background=4, quantity="score") for number in numbers]
    assert all(each.quantity == "score" for each in alone)
    assert not np.allclose(alone[0].values, whole.values, atol=1e-3)


def test_outputs_can_be_chosen(networks: Predictor, rows: pd.DataFrame) -> None:
    found = networks.explain(rows, outputs=["no"], background=1)
    assert found.outputs == ("no",)
    with pytest.raises(UnknownNameError, match=r"no output is called 'maybe'; .*known: no, yes"):
        networks.explain(rows, outputs=["maybe"])


def test_the_seed_decides(networks: Predictor, rows: pd.DataFrame) -> None:
    settings = {"exact_players": 1, "evaluations": 8}
    first, again, other = (networks.explain(rows, settings=settings, seed=seed, background=4) for seed in (1, 1, 2))
    assert first.values.equals(again.values)
    assert not first.values.equals(other.values)
    assert first.standard_error is not None


def test_bad_questions_are_refused(networks: Predictor, learners: Predictor, rows: pd.DataFrame) -> None:
    with pytest.raises(UnknownNameError, match="no explainer is called 'shaply'; did you mean 'shapley'"):
        networks.explain(rows, explainer="shaply")
    with pytest.raises(UnknownNameError, match="no setting of shapley is called 'evaluation'; did you mean"):
        networks.explain(rows, settings={"evaluation": 3})
    with pytest.raises(ExplanationError, match="'tolerance' of shapley must be"):
        networks.explain(rows, settings={"tolerance": "small"})
    with pytest.raises(ExplanationError, match="must be 'probability' or 'score', however 'number' came"):
        networks.explain(rows, quantity="number")
    with pytest.raises(ExplanationError, match=r"saliency would mislead here: .*use shapley"):
        learners.explain(rows, explainer="saliency")
    with pytest.raises(ExplanationError, match="there must be rows to explain"):
        networks.explain(rows, rows=[])
    with pytest.raises(ExplanationError, match="must have the target 'left'"):
        networks.explain(rows.drop(columns="left"), explainer="permutation_importance")
    old = replace(networks, evidence=None)
    with pytest.raises(ExplanationError, match="older autodl saved it; search again"):
        old.explain(rows)


def test_shuffling_hurts_where_the_model_looks(networks: Predictor, make_people: Callable[..., pd.DataFrame]) -> None:
    """Rows without a target are passed over."""
    known = make_people(150, seed=9).drop(columns="spent")
    found = networks.explain(known, explainer="permutation_importance")
    assert found.values.shape == (1, 4)
    assert set(found.importance().index[:2]) == {"age", "plan"}
    known.loc[:9, "left"] = None
    fewer = networks.explain(known, explainer="permutation_importance")
    assert fewer.attribution.notes[0].startswith("The rise of the mean loss of 140 labelled rows")


def test_time_decides_how_many_rows_are_compared_with(networks: Predictor, rows: pd.DataFrame) -> None:
    assert len(networks.explain(rows, seconds=SECONDS).baseline) == 32
    hurried = networks.explain(rows, seconds=1e-6)
    assert len(hurried.baseline) == 0
    assert hurried.baseline_words == "the mean training row"
    np.testing.assert_allclose(hurried.base + hurried.values.sum(axis=1), hurried.predicted, atol=1e-5)


def test_images_are_divided_into_segments_beside_columns(pictures: Predictor) -> None:
    evidence = pictures.evidence
    assert evidence is not None
    found = pictures.explain(evidence.frame, rows=[0, 1, 2], background=2, settings={"evaluations": 64})
    assert "photo segment 1" in found.players
    assert not found.players[0].startswith("photo") or "size" not in found.players  # columns come first
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-5)
    whole = pictures.explain(evidence.frame, rows=[0], players="columns", background=2)
    assert set(whole.players) == set(pictures.subject.columns)
    inputs = pictures.explain(evidence.frame, rows=[0], players="inputs", background=2)
    assert inputs.players == tuple(sorted({name for each in pictures.members for name in each.keys}))
    np.testing.assert_allclose(inputs.values[["photo"]], whole.values[["photo"]], atol=1e-5)


def test_a_missing_image_is_explained_too(pictures: Predictor) -> None:
    evidence = pictures.evidence
    assert evidence is not None
    (gone,) = [[row] for row, cell in enumerate(evidence.frame["photo"]) if cell is None][:1]
    found = pictures.explain(evidence.frame, rows=gone, background=2)
    assert np.isfinite(found.values.to_numpy()).all()
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-5)


def test_concepts_come_as_rows(
    networks: Predictor, rows: pd.DataFrame, make_people: Callable[..., pd.DataFrame]
) -> None:
    many = make_people(60, seed=3).drop(columns=["left", "spent"])
    mlp = next(each.number for each in networks.members if each.config.encoders["table"].name == "mlp")
    shown = {"young": many.assign(age=20.0), "old": many.assign(age=75.0)}
    found = networks.explain(rows, explainer="concepts", concepts=shown, settings={"layer": "hidden"}, trial=mlp)
    told = found.attribution.found
    assert list(told["names"]) == ["old", "young"]


def test_gaps_are_filled_with_what_nothing_known_looks_like() -> None:
    x = torch.tensor([[1.0, torch.nan]])
    assert filled(x, torch.tensor([7.0, 8.0])).tolist() == [[1, 8]]


def test_what_values_compare_with_is_said_in_words() -> None:
    assert reference_words(explainers.load("shapley")(), 1) == "1 training row"
    assert reference_words(explainers.load("shapley")(), 0) == "the mean training row"


KINDS = {"table": "tabular", "review": "text", "clip": "audio"}
ENCODERS = {
    "table": Component("mlp", {"depth": 1, "width": 8}),
    "review": Component("text_cnn", {"width": 8}),
    "clip": Component("cnn", {"channels": 8}),
}
SCHEMA = Schema((Column("age", "number"), Column("review", "text"), Column("clip", "audio")))
YES = Task("y", "binary", ("no", "yes"), "log_loss")


def calls(rows: int = 24) -> pd.DataFrame:
    """Numbers, texts and sounds; the first row lacks its text, the second its sound, the third's cannot be seen."""
    generator = np.random.default_rng(0)
    words = ["good", "bad", "not", "very", "film"]
    reviews = [" ".join(generator.choice(words, 2 + row % 7)) for row in range(rows)]
    clips = [generator.normal(size=8000).astype(np.float32) / 9 for _ in range(rows)]
    frame = pd.DataFrame({"age": generator.normal(size=rows)})
    frame["review"] = pd.Series([None, reviews[1], "\u200b", *reviews[3:]], dtype=object)
    frame["clip"] = pd.Series([clips[0], None, *clips[2:]], dtype=object)
    return frame


def completed(room: str, part: Component) -> Component:
    """All settings, those that are not given at their defaults."""
    return Component(part.name, {**registry.ROOMS[room].load(part.name).space.defaults(), **part.settings})


def untrained(names: tuple[str, ...], tokens: tuple[str, ...] = ("words",)) -> tuple[Subject, pd.DataFrame]:
    """A predictor of networks with the weights they start with, one for each way to cut texts; and all its rows."""
    frame, targets = calls(), np.arange(24) % 2
    modalities, specs, members = {}, {}, []
    for number, cut in enumerate(tokens):
        chosen = {name: Component(KINDS[name], {"tokens": cut} if name == "review" else {}) for name in names}
        parts = {name: completed("modalities", part) for name, part in chosen.items()}
        keys = {name: modality_key(name, part) for name, part in parts.items()}
        for name, part in parts.items():
            kind = registry.modalities.load(part.name)
            columns = [column for column in SCHEMA if column.name in kind.claim(SCHEMA)[name]]
            modalities[keys[name]] = kind(columns, **part.settings)
            specs[keys[name]] = modalities[keys[name]].fit(frame, targets, YES, 0)
        encoders = {name: completed("encoders", ENCODERS[name]) for name in names}
        fusion, none = (Component("concat") if len(names) > 1 else None), Component("")
        config = TrialConfig(parts, encoders, none, none, {}, epochs=1, seed=number, fusion=fusion)
        network = Network.seeded(config, {name: specs[key] for name, key in keys.items()}, 2)
        with torch.no_grad():
            network.head.weight.mul_(50)
        weights = {name: tensor.unsqueeze(0) for name, tensor in network.state_dict().items()}
        members.append(FittedMember(number, config, weights, 0.5))
    drawn, known = draw(frame, targets, np.arange(24), modalities, 0)
    evidence = Evidence(drawn, known, np.zeros((1, 2)), np.zeros(1))
    return Subject(FittedEnsemble(members, modalities, specs, YES), Calibration(), YES, SCHEMA, evidence), frame


@pytest.fixture(scope="module")
def caller() -> tuple[Subject, pd.DataFrame]:
    return untrained(("table", "review", "clip"), ("words", "subwords"))


def test_texts_and_sounds_are_divided_beside_columns(caller: tuple[Subject, pd.DataFrame]) -> None:
    subject, frame = caller
    found = subject.explain(frame, None, Request(settings={"evaluations": 64}, background=4), rows=[0, 1, 2, 5])
    assert found.players[:2] == ("age", "review word 1")
    assert "clip 0.00–0.03 s" in found.players
    assert found.baseline_words == "4 training rows, texts without words, the mean sound"
    np.testing.assert_allclose(found.base + found.values.sum(axis=1), found.predicted, atol=1e-5)
    words = [name for name in found.players if name.startswith("review word")]
    assert (found.values.loc[:, words] != 0).sum(axis=1).tolist()[1:] == [3, 1, 7]  # their words, whoever cuts them
    assert set(found.importance().index) == {"age", "review", "clip"}
    assert found.background[["review", "clip"]].isna().all(axis=None)
    assert found.background["age"].notna().all()


def test_the_words_of_a_text_alone_are_compared_with_none() -> None:
    """One row of no words, however many training rows there are."""
    subject, frame = untrained(("review",))
    found = subject.explain(frame, None, Request(), rows=[5, 8])
    assert found.baseline_words == "texts without words"
    assert len(found.background) == 0
    empty = subject.explain(frame, None, Request(), rows=[2])
    np.testing.assert_allclose(found.base[0], empty.predicted[0], atol=1e-6)
    assert not empty.values.to_numpy().any()


def test_whole_texts_and_sounds_are_compared_with_those_of_other_rows(caller: tuple[Subject, pd.DataFrame]) -> None:
    subject, frame = caller
    found = subject.explain(frame, None, Request(players="columns", background=4), rows=[0, 5])
    assert found.players == ("age", "review", "clip")
    assert found.baseline_words == "4 training rows"
    assert found.background["review"].notna().any()


def test_bands_are_divided_by_frequencies(caller: tuple[Subject, pd.DataFrame]) -> None:
    subject, frame = caller
    found = subject.explain(frame, None, Request("feature_ablation", players="bands"), rows=[5])
    assert sum(name.startswith("clip") for name in found.players) == 48


@pytest.mark.parametrize(("players", "match"), [("segments", "no image column"), ("parts", "an image, a text or a s")])
def test_parts_must_be_there(players: PlayerKind, match: str) -> None:
    subject, frame = untrained(("table",))
    with pytest.raises(ExplanationError, match=match):
        subject.explain(frame, None, Request(players=players))
    with pytest.raises(UnknownNameError, match="no kind of players is called 'part'; did you mean 'parts'"):
        subject.explain(frame, None, Request(players="part"))  # type: ignore[arg-type]


def test_gradients_towards_words_are_refused_by_name(caller: tuple[Subject, pd.DataFrame]) -> None:
    subject, frame = caller
    with pytest.raises(ExplanationError, match=r"input 'review-.*' holds ids of words"):
        subject.explain(frame, None, Request("integrated_gradients"), rows=[5])
