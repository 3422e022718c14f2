"""From what is registered to the knobs of one search."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from autodl import registry
from autodl.errors import PluginError, SpaceError, unknown_name
from autodl.records import InputSpec, Task
from autodl.space import Choice, Dimension, Space, Value
from autodl.training.settings import OF_SEVERAL, OF_TEXTS, TRAINING_SPACE, training_space
from autodl.tuning._sights import MOST_FEATURES, following, free_of, learnable, n_features, pretrained_sights

Conditions: TypeAlias = tuple[tuple[str, tuple[Value, ...]], ...]

# What a configuration takes that does not say; where none of a room's names stands here, its first one.
_USUAL = ("cnn", "mlp", "cross_entropy", "squared_error", "adamw", "concat")
_FEWEST_COLUMNS = 4  # with fewer there is nothing to select
_ALL, _NETWORKS = "all", "networks"  # words that stand for models
INPUTS = "inputs"  # path of the knob that says what a network of several inputs reads


@dataclass(frozen=True)
class SearchKnob:
    """One hyperparameter of the whole search.

    Attributes:
        owner: Whose knob it is: ``("table", "mlp")``, ``("training",)``.
        name: Its name there; empty for the choice of a component that is called as its room, such as ``loss``.
        dimension: The range that is searched.
        when: It counts only where each of these paths has one of these values.
        widest: What may be asked for instead of ``dimension``; the dimension itself unless given.
        of_estimator: Whether it belongs to scikit-learn's learners, not to the networks.
    """

    owner: tuple[str, ...]
    name: str
    dimension: Dimension
    when: Conditions = ()
    widest: Dimension = field(default=None)  # type: ignore[assignment]
    of_estimator: bool = False

    def __post_init__(self) -> None:
        if self.widest is None:
            object.__setattr__(self, "widest", self.dimension)

    @property
    def path(self) -> str:
        """Its name in the search: ``table.mlp.depth``."""
        return ".".join((*self.owner, self.name) if self.name else self.owner)

    @property
    def keys(self) -> tuple[str, ...]:
        """Where it stands in a TOML file, where a key is a value or a table: ``loss`` is ``loss.name`` there."""
        return (*self.owner, self.name or "name")

    def active(self, params: Mapping[str, Value]) -> bool:
        """Whether it counts beside these values of earlier knobs."""
        return all(path in params and params[path] in values for path, values in self.when)


def assemble(
    inputs: Mapping[str, tuple[str, InputSpec]],
    task: Task,
    rows: int,
    models: Sequence[str] | None,
    views: Mapping[str, Mapping[str, InputSpec]],
) -> list[SearchKnob]:
    """Return all knobs of a search; see ``SearchSpace.build``."""
    specs = {name: spec for name, (_, spec) in sorted(inputs.items())}
    named = _named(models)
    encoders = _encoders(specs, named, views)
    features = n_features(learnable(specs, views).values())
    estimators = _estimators(task, rows, features, named, needed=not encoders)
    knobs: list[SearchKnob] = []
    together: Conditions = ()
    if len(encoders) > 1:
        every = all_inputs(encoders)
        doc = "what a network reads: all inputs, fused, or one alone"
        knobs.append(SearchKnob((INPUTS,), "", Choice(every, *encoders, doc=doc)))
        together = ((INPUTS, (every,)),)
    for name, fitting in encoders.items():
        read = ((INPUTS, (*together[0][1], name)),) if together else ()
        seen = {encoder: views.get(name, {}).get(encoder, specs[name]) for encoder in fitting}
        knobs += _input(name, inputs[name][0], seen, read)
    if encoders:
        knobs += _choice(("loss",), "", _losses(task), "what training makes small")
        knobs += _choice(("optimizer",), "", _spaces(registry.optimizers), "rule that updates the weights")
        if together:
            knobs += _choice(("fusion",), "", _spaces(registry.fusions), "how the inputs' vectors become one", together)
        knobs += [*_training(rows, specs, together), *_target(("training",), task)]
    if estimators:
        learners = _choice(("estimator",), "", estimators, "scikit-learn learner that is tried beside the networks")
        sight = _sight() if pretrained_sights(inputs, views) else []
        knobs += [replace(knob, of_estimator=True) for knob in (*learners, *_target(("estimator",), task), *sight)]
    _check_names(knobs)
    return knobs


def all_inputs(names: Iterable[str]) -> str:
    """The word for all inputs together, which is the name of none."""
    word = "all"
    while word in names:
        word += "_"
    return word


def fitting_estimators(task: Task, rows: int, features: int) -> list[str]:
    """The estimators that suit the task and so much data."""
    if features > MOST_FEATURES:
        return []
    loaded = {name: registry.estimators.load(name) for name in registry.estimators.names()}
    return [name for name, each in loaded.items() if task.kind in each.tasks and each.accepts(rows, features)]


def _named(models: Sequence[str] | None) -> frozenset[str] | None:
    """The components that are searched, ``networks`` among them where it stands for all encoders; None for all."""
    known = [*registry.encoders.names(), *_searchable(), _ALL, _NETWORKS]
    for model in models or ():
        if model not in known:
            raise unknown_name("model", model, known)
    return None if not models or _ALL in models else frozenset(models)


def _searchable() -> dict[str, Space]:
    """The estimators that have something to search."""
    return {name: space for name, space in _spaces(registry.estimators).items() if space}


def _estimators(
    task: Task, rows: int, features: int, named: frozenset[str] | None, *, needed: bool
) -> dict[str, Space]:
    """The estimators to search among; with ``needed`` there is nothing else to search."""
    fitting = fitting_estimators(task, rows, features)
    spaces = _searchable()
    found = {name: spaces[name] for name in fitting if name in spaces and (named is None or name in named)}
    if needed and not found:
        known = ", ".join(name for name in fitting if name in spaces) or "none"
        raise SpaceError(
            f"one of the models must suit the task and the data, however {', '.join(sorted(named or ()))} cannot take "
            f"{task.kind} with {rows:,} rows × {features:,} features; estimators that can: {known}; or say networks"
        )
    return found


def _input(name: str, modality: str, seen: Mapping[str, InputSpec], read: Conditions) -> list[SearchKnob]:
    """The choice of an input's encoder, the knobs of its modality, those of each encoder, given what each sees."""
    if modality in seen:
        raise PluginError(f"an encoder must not be called as the modality '{modality}' of its input; rename it")
    spaces = {encoder: registry.encoders.load(encoder).space_for(spec) for encoder, spec in seen.items()}
    choice, *own = _choice((name,), "encoder", spaces, "network that turns this input into a vector", read)
    space = registry.modalities.load(modality).space
    follow = following(modality)
    free = Space(**{knob: free_of(dimension, follow) for knob, dimension in space.items() if knob not in follow})
    return [choice, *_component((name, modality), free, read), *own]


def _encoders(
    specs: Mapping[str, InputSpec], named: frozenset[str] | None, views: Mapping[str, Mapping[str, InputSpec]]
) -> dict[str, list[str]]:
    """The encoders to search among, for each input; empty where no network is asked for."""
    names = registry.encoders.names()
    wanted = frozenset(names) if named is None or _NETWORKS in named else named & frozenset(names)
    if not wanted:
        return {}
    fitting = {
        name: [encoder for encoder in names if _accepts(encoder, spec, views.get(name, {}))]
        for name, spec in specs.items()
    }
    for name, encoders in fitting.items():
        if not encoders:
            raise SpaceError(
                f"input '{name}' must be accepted by an encoder, however none takes the shape {specs[name].shape}; "
                "leave its columns out with --ignore"
            )
    found = {name: [encoder for encoder in encoders if encoder in wanted] for name, encoders in fitting.items()}
    if not any(found.values()):
        known = "; ".join(f"{name}: {', '.join(encoders)}" for name, encoders in fitting.items())
        raise SpaceError(
            "one of the models must accept an input, however "
            f"{', '.join(sorted(wanted))} accepts none; what fits is {known}"
        )
    return {name: found[name] or fitting[name] for name in fitting}


def _accepts(name: str, spec: InputSpec, views: Mapping[str, InputSpec]) -> bool:
    """Whether an encoder takes an input, as it is or as it wishes to see it."""
    encoder = registry.encoders.load(name)
    seen = views.get(name) if encoder.reads else spec
    return seen is not None and encoder.accepts(seen)


def _losses(task: Task) -> dict[str, Space]:
    losses = {name: registry.losses.load(name) for name in registry.losses.names()}
    return {name: loss.space for name, loss in losses.items() if task.kind in loss.tasks}


def _spaces(room: registry.Registry[Any]) -> dict[str, Space]:
    return {name: room.load(name).space for name in room.names()}


def _choice(
    owner: tuple[str, ...], name: str, spaces: Mapping[str, Space], doc: str, when: Conditions = ()
) -> list[SearchKnob]:
    """The choice of a component and the knobs of each."""
    if not spaces:
        raise SpaceError(
            f"one {owner[0]} at least must fit the task, however none that is registered does; install one"
        )
    default = next((usual for usual in _USUAL if usual in spaces), None)
    choice = SearchKnob(owner, name, Choice(*spaces, default=default, doc=doc), when)
    knobs = [choice]
    for component, space in spaces.items():
        knobs += _component((*owner, component), space, ((choice.path, (component,)),))
    return knobs


def _component(owner: tuple[str, ...], space: Space, when: Conditions = ()) -> list[SearchKnob]:
    """The knobs of one component; one whose condition names a knob that this input does not have never counts."""
    knobs: dict[str, SearchKnob] = {}
    later = list(space)
    for name, dimension in space.items():
        later.remove(name)
        for other in dimension.when:
            if other in later or other == name:
                where = f"'{name}' in {'.'.join(owner)}"
                raise PluginError(
                    f"the condition of {where} must name an earlier knob, however '{other}' is not; move it"
                )
        if all(other in knobs for other in dimension.when):
            own = tuple((knobs[other].path, tuple(values)) for other, values in dimension.when.items())
            knobs[name] = SearchKnob(owner, name, dimension, when + own)
    return list(knobs.values())


def _training(rows: int, specs: Mapping[str, InputSpec], together: Conditions) -> list[SearchKnob]:
    knobs = [
        replace(knob, widest=TRAINING_SPACE[knob.name]) for knob in _component(("training",), training_space(rows))
    ]
    selects = any(len(spec.shape) == 1 and len(spec.columns) >= _FEWEST_COLUMNS for spec in specs.values())
    left_out = set() if selects else {"features"}
    left_out |= set() if together else OF_SEVERAL
    left_out |= set() if any(spec.axes[0] == "token" for spec in specs.values()) else OF_TEXTS
    left_out |= {"mixup"} if any(spec.vocabulary for spec in specs.values()) else set()  # names cannot be blended
    return [
        replace(knob, when=knob.when + together) if knob.name in OF_SEVERAL else knob
        for knob in knobs
        if knob.name not in left_out
    ]


def _target(owner: tuple[str, ...], task: Task) -> list[SearchKnob]:
    """The knob that says how a number to predict is seen, where there is more than one way."""
    names = [scale.name for scale in task.scales]
    if task.kind != "regression" or "log" not in names:
        return []
    doc = "how the target is seen: as it is, or its logarithm"
    return [SearchKnob(owner, "target", Choice("none", "log", per_member=owner == ("training",), doc=doc))]


def _sight() -> list[SearchKnob]:
    """The knob that says how estimators see inputs, where there is more than one way."""
    doc = "whether estimators see inputs through weights that came with a package"
    return [SearchKnob(("estimator",), "pretrained", Choice(False, True, doc=doc))]


def _check_names(knobs: Sequence[SearchKnob]) -> None:
    """Refuse two knobs of one path, and a name that would be both a value and a table of a TOML file."""
    paths = Counter(knob.path for knob in knobs)
    tables = {knob.keys[:length] for knob in knobs for length in range(1, len(knob.keys))}
    for knob in knobs:
        if paths[knob.path] > 1 or knob.keys in tables:
            raise SpaceError(
                f"names must not collide, however two things are called '{'.'.join(knob.keys)}'; rename the column "
                f"behind '{knob.owner[0]}' or the component"
            )
