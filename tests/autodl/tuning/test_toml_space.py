from __future__ import annotations

import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autodl.errors import SpaceError
from autodl.space import Choice, Dimension, Float, Integer
from autodl.tuning.search_space import SearchKnob, SearchSpace
from autodl.tuning.toml_space import from_toml, to_toml

MLP = (("table.encoder", ("mlp",)),)


def made(*knobs: SearchKnob) -> SearchSpace:
    return SearchSpace({knob.path: knob for knob in knobs}, {"table": "tabular"})


SPACE = made(
    SearchKnob(("table",), "encoder", Choice("linear", "mlp", "cnn", default="mlp", doc="the network")),
    SearchKnob(("table", "mlp"), "depth", Integer(1, 6, limits=(1, 12), default=3, doc="hidden layers"), MLP),
    SearchKnob(("table", "mlp"), "width", Choice(64, 128, limits=(8, 4096), doc="units of a layer"), MLP),
    SearchKnob(("table", "mlp"), "embedding", Choice("none", "bins", "waves"), MLP),
    SearchKnob(("table", "mlp"), "bins", Integer(2, 64), (*MLP, ("table.mlp.embedding", ("bins", "waves")))),
    SearchKnob(("loss",), "", Choice("cross_entropy", "focal")),
    SearchKnob(("loss", "focal"), "gamma", Float(0.5, 5, per_member=True), (("loss", ("focal",)),)),
    SearchKnob(("optimizer",), "", Choice("adamw")),
    SearchKnob(
        ("optimizer", "adamw"),
        "learning_rate",
        Float(1e-4, 1e-2, log=True, per_member=True, default=2e-3, limits=(0.0, 10.0), doc="step size"),
        (("optimizer", ("adamw",)),),
    ),
    SearchKnob(("optimizer", "adamw"), "amsgrad", Choice(False, True), (("optimizer", ("adamw",)),)),
    SearchKnob(
        ("training",),
        "batch_size",
        Choice(32, 64, limits=(1, 1000)),
        widest=Choice(32, 64, 128, "full", limits=(1, 1000)),
    ),
    SearchKnob(("training",), "clip", Choice(0.0, 1.0, limits=(0.0, 100.0))),
    SearchKnob(("estimator",), "", Choice("trees", "near", doc="tried beside the networks"), of_estimator=True),
    SearchKnob(("estimator", "trees"), "leaf", Integer(1, 50), (("estimator", ("trees",)),), of_estimator=True),
    SearchKnob(("estimator", "near"), "metric", Choice("l2"), (("estimator", ("near",)),), of_estimator=True),
    SearchKnob(("estimator",), "target", Choice("none", "log"), of_estimator=True),
)

TEXT = """\
# The space of a small table.
#
# { low, high }   a range; with log = true it is searched evenly on a logarithmic scale
# [a, b, c]       options; take out what is not wanted
# a               one value: it is not searched
# What is left out of this file keeps its range. Trials that train together as one network share what is structural
# and differ in what is per member.

[table]
# the network
encoder = ["linear", "mlp", "cnn"]  # structural; default "mlp"

[table.mlp]  # counts where table.encoder is "mlp"
# hidden layers
depth = { low = 1, high = 6 }  # structural; default 3; possible: 1 to 12
# units of a layer
width = [64, 128]  # structural; default 64; possible: any whole number from 8 to 4096
embedding = ["none", "bins", "waves"]  # structural; default "none"
# counts where embedding is "bins" or "waves"
bins = { low = 2, high = 64 }  # structural; default 33

[loss]
name = ["cross_entropy", "focal"]  # structural; default "cross_entropy"

[loss.focal]  # counts where loss.name is "focal"
gamma = { low = 0.5, high = 5.0 }  # per member; default 2.75

[optimizer]
name = "adamw"  # structural

[optimizer.adamw]  # counts where optimizer.name is "adamw"
# step size
learning_rate = { low = 1e-4, high = 0.01, log = true }  # per member; default 2e-3; possible: 0.0 to 10.0
amsgrad = [false, true]  # structural; default false

[training]
batch_size = [32, 64]  # structural; default 32; possible: "full", any whole number from 1 to 1000
clip = [0.0, 1.0]  # structural; default 0.0; possible: any number from 0.0 to 100.0

[estimator]
# tried beside the networks
name = ["trees", "near"]  # default "trees"
target = ["none", "log"]  # default "none"

[estimator.trees]  # counts where estimator.name is "trees"
leaf = { low = 1, high = 50 }  # default 26

[estimator.near]  # counts where estimator.name is "near"
metric = "l2"
"""


def test_the_text_is_this() -> None:
    assert to_toml(SPACE, "The space of a small table.") == TEXT


def test_nothing_edited_is_nothing_changed() -> None:
    assert from_toml(TEXT, SPACE) == SPACE
    assert from_toml("", SPACE) == SPACE


def edited(text: str, path: str) -> Dimension:
    return from_toml(text, SPACE).knobs[path].dimension


DEPTH, RATE = "table.mlp.depth", "optimizer.adamw.learning_rate"


@pytest.mark.parametrize(
    ("text", "path", "change"),
    [
        ("table.mlp.depth = { low = 2, high = 4 }", DEPTH, {"low": 2, "high": 4}),
        ("table.mlp.depth = { high = 12 }", DEPTH, {"high": 12}),
        ("[table.mlp.depth]\nlow = 2", DEPTH, {"low": 2}),
        ("table.mlp.depth = 5", DEPTH, {"low": 5, "high": 5, "default": 5}),
        ("table.mlp.depth = { low = 4, high = 6 }", DEPTH, {"low": 4, "high": 6, "default": 4}),
        ("optimizer.adamw.learning_rate = 1", RATE, {"low": 1.0, "high": 1.0, "default": 1.0}),
        ("optimizer.adamw.learning_rate = { high = 5 }", RATE, {"high": 5.0}),
        ("optimizer.adamw.learning_rate = { log = false, low = 0 }", RATE, {"low": 0.0, "log": False}),
        ("optimizer.adamw.learning_rate = 0", RATE, {"low": 0.0, "high": 0.0, "log": False, "default": 0.0}),
        ("loss.focal.gamma = { log = true }", "loss.focal.gamma", {"log": True}),
    ],
)
def test_ranges_become_narrower_wider_or_one_value(text: str, path: str, change: dict[str, Any]) -> None:
    new, old = edited(text, path), SPACE.knobs[path].dimension
    assert vars(new) == {**vars(old), **change}
    if isinstance(new, Float):
        assert isinstance(new.low, float)


@pytest.mark.parametrize(
    ("text", "path", "options", "default"),
    [
        ('table.encoder = ["mlp", "cnn"]', "table.encoder", ("mlp", "cnn"), "mlp"),
        ('table.encoder = ["linear", "cnn"]', "table.encoder", ("linear", "cnn"), "linear"),
        ('table.encoder = "cnn"', "table.encoder", ("cnn",), "cnn"),
        ('loss.name = "focal"', "loss", ("focal",), None),
        ("table.mlp.width = [64, 512, 64]", "table.mlp.width", (64, 512), None),
        ('training.batch_size = ["full", 7]', "training.batch_size", ("full", 7), None),
        ("training.clip = [0, 1, 5]", "training.clip", (0.0, 1.0, 5.0), None),
        ("optimizer.adamw.amsgrad = true", "optimizer.adamw.amsgrad", (True,), None),
    ],
)
def test_options_are_taken_out_or_added_within_limits(
    text: str, path: str, options: tuple[Any, ...], default: Any
) -> None:
    new, old = edited(text, path), SPACE.knobs[path].dimension
    assert vars(new) == {**vars(old), "options": options, "default": default}
    assert isinstance(new, Choice)
    assert [type(option) for option in new.options] == [type(option) for option in options]


def test_an_edited_space_is_written_and_read_back() -> None:
    text = """
    [table]
    encoder = ["mlp"]
    mlp = { depth = 12, width = [16], bins = { high = 8 } }
    [optimizer.adamw]
    learning_rate = { log = false }
    [training]
    batch_size = "full"
    """
    space = from_toml(text, SPACE)
    assert space != SPACE
    assert from_toml(to_toml(space, ""), SPACE) == space
    assert space.complete({})["training.batch_size"] == "full"


def test_estimators_are_edited_as_networks_are() -> None:
    space = from_toml('[estimator]\nname = "near"\ntarget = "log"\ntrees.leaf = 3', SPACE)
    assert space.estimators.complete({}) == {
        "estimator": "near",
        "estimator.near.metric": "l2",
        "estimator.target": "log",
    }
    assert space.networks == SPACE.networks


def test_an_encoder_that_is_taken_out_may_keep_its_table() -> None:
    space = from_toml(TEXT.replace('"linear", "mlp", "cnn"', '"linear"'), SPACE)
    assert set(space.complete({})) & {"table.encoder", DEPTH} == {"table.encoder"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("table.mlp.dept = 3", "'table.mlp.dept' does not; did you mean 'depth'"),
        ("[table.mpl]\ndepth = 3", "'table.mpl' does not; did you mean 'mlp'"),
        ("[tabel]\nencoder = 'mlp'", "'tabel' does not; did you mean 'table'"),
        ("loss = 'focal'", r"'loss' must be a table, however 'focal' came; write \[loss\] above it"),
        ("depth = 3", "'depth' does not; known: estimator, loss, optimizer, table, training"),
        ("table.mlp.depth = 13", r"'table.mlp.depth' must be a whole number or a range .* within 1 to 12, however 13"),
        ("table.mlp.depth = { low = 0 }", "within 1 to 12"),
        ("table.mlp.depth = { low = 5, high = 2 }", "'table.mlp.depth' must be a range with low <= high"),
        ("table.mlp.depth = { lo = 5 }", "however 'lo' came; did you mean 'low'"),
        ("table.mlp.depth = 2.5", "whole number"),
        ("table.mlp.depth = true", "whole number"),
        ("table.mlp.depth = '3'", "whole number"),
        ("table.mlp.depth = [1, 2]", "whole number or a range"),
        ("table.mlp.bins = 65", "'table.mlp.bins' must be .* within 2 to 64, however 65 came"),
        ("optimizer.adamw.learning_rate = { low = 0 }", "log = true and low > 0"),
        ("optimizer.adamw.learning_rate = { log = 1 }", "log = false"),
        ("optimizer.adamw.learning_rate = nan", "a number or a range"),
        ("optimizer.adamw.learning_rate = inf", "within 0.0 to 10.0"),
        ("table.encoder = 'mpl'", "'table.encoder' must be .*did you mean 'mlp'"),
        ("table.encoder = []", "a list of one or several"),
        ("table.encoder = { low = 1 }", "a list of one or several"),
        ("table.encoder = [['mlp']]", "'table.encoder' must be"),
        ("table.mlp.width = 5000", "any whole number from 8 to 4096, however 5000 came"),
        ("table.mlp.width = 64.5", "any whole number"),
        ("table.mlp.width = 1999-01-01", "any whole number"),
        ("optimizer.adamw.amsgrad = 1", "false, true"),
        ("training.batch_size = 'ful'", "did you mean 'full'"),
        ("training.clip = -1", "any number from 0.0 to 100.0"),
    ],
)
def test_what_cannot_be_is_refused_with_the_right_name_or_range(text: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        from_toml(text, SPACE)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[table]\nencoder = [", "[table]\nencoder = mlp", "[a]\n[a]", 'x = "\x00"'])
def test_what_is_not_toml_is_refused_with_the_line(text: str) -> None:
    with pytest.raises(SpaceError, match=r"valid TOML.*(line \d+, column \d+|end of document)"):
        from_toml(text, SPACE)


def test_names_and_texts_with_odd_letters() -> None:
    odd = 'a "b".c\\d\n#ü'
    path = f"{odd}.encoder"
    space = made(
        SearchKnob((odd,), "encoder", Choice(odd, "\x7f", "", doc=odd)),
        SearchKnob((odd, odd), odd, Choice("x"), ((path, (odd,)),)),
    )
    text = to_toml(space, odd)
    assert from_toml(text, space) == space
    assert tomllib.loads(text)[odd]["encoder"] == [odd, "\x7f", ""]


names = st.text(max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
wholes = st.integers(-(2**63), 2**63)


@st.composite
def ranges(draw: st.DrawFn) -> Dimension:
    common: dict[str, Any] = {"per_member": draw(st.booleans()), "doc": draw(st.text(max_size=20))}
    kind = draw(st.sampled_from(["float", "integer", "choice"]))
    if kind == "choice":
        options = draw(st.lists(st.one_of(names, wholes, numbers, st.booleans()), min_size=1, max_size=4, unique=True))
        return Choice(*options, default=draw(st.sampled_from([None, *options])), **common)
    low, high = sorted(draw(st.tuples(*[wholes if kind == "integer" else numbers] * 2)))
    common["log"] = low > 0 and draw(st.booleans())
    default = draw(st.sampled_from([None, low, high]))
    if kind == "integer":
        return Integer(
            int(low), int(high), default=default, limits=draw(st.sampled_from([None, (low, high)])), **common
        )
    return Float(low, high, default=default, limits=draw(st.sampled_from([None, (low, high)])), **common)


@st.composite
def spaces(draw: st.DrawFn) -> SearchSpace:
    """Owners of equal length, so that no name is both a value and a table."""
    owners = draw(st.lists(st.tuples(names, names), min_size=1, max_size=3, unique=True))
    knobs: list[SearchKnob] = []
    for owner in owners:
        for name in draw(st.lists(names.filter(bool), min_size=1, max_size=3, unique=True)):
            when = tuple((knob.path, ("x", 1)) for knob in knobs if draw(st.booleans()))
            knobs.append(SearchKnob(owner, name, draw(ranges()), when, of_estimator=draw(st.booleans())))
    return made(*{knob.path: knob for knob in knobs}.values())


@given(spaces(), st.text())
def test_written_and_read_back_is_the_same(space: SearchSpace, title: str) -> None:
    assert from_toml(to_toml(space, title), space) == space


@given(st.text())
def test_any_text_is_a_space_or_refused(text: str) -> None:
    with suppress(SpaceError):
        from_toml(text, SPACE)


def test_thousands_of_brackets_are_refused() -> None:
    with pytest.raises(SpaceError, match="valid TOML"):
        from_toml("x = " + "[" * 100_000, SPACE)
