"""Records what a network does with one row, and checks the record on other rows: nothing is taken on trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from autodl.report._lowering import LOWERINGS, MOVES, moved
from autodl.report._tape import Tape, Value

TOLERANCE = 1e-4
"""Of the largest output: a recorded network that is off by more, in any row, has not been understood."""


@dataclass(frozen=True)
class Refusal:
    """Why there is no tape, in words that follow "because"."""

    reason: str


@dataclass(frozen=True)
class _Slot:
    """In the place of a tensor that depends on the inputs."""

    number: int


@dataclass(frozen=True)
class _Call:
    """One operation: what goes in, with slots for what depends on the inputs; what comes out; whether it varies."""

    function: Any
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    results: tuple[int | None, ...]
    free: bool

    @property
    def reads(self) -> list[int]:
        return [each.number for each in tree_leaves((self.arguments, self.keywords)) if isinstance(each, _Slot)]


class _RefusedError(Exception):
    """Leaves the recording with a reason."""


def export(
    model: nn.Module, inputs: Mapping[str, Tensor], *, free: Sequence[str] = (), limit_bytes: int = 1_500_000
) -> Tape | Refusal:
    """Return the network as a tape for one row, or why it cannot be one.

    Args:
        model: Inputs → ``batch outputs``, every row by itself, in evaluation mode.
        inputs: Rows that the record is checked on, the first being the one that is recorded; a row's numbers that
            depend on none of the free inputs are worked out here and stored.
        free: Inputs that will be changed; none stands for all.
        limit_bytes: Size of the tape as text above which it is refused.
    """
    free = tuple(free) or tuple(sorted(inputs))
    try:
        with torch.no_grad():
            record = _Record.of(model, {name: x[:1] for name, x in inputs.items()}, free)
            frozen = record.checked(model, inputs)
        tape = _Lowered(record, frozen).tape
    except _RefusedError as refused:
        return Refusal(str(refused))
    if tape.n_bytes > limit_bytes:
        found, most = (f"{n / 1e6:.2f} MB" for n in (tape.n_bytes, limit_bytes))
        return Refusal(f"the network takes {found} as text, and this page has room for {most}")
    return tape


class _Record(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation of one forward pass."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []
        self.seen: list[Tensor] = []  # kept, so that no other tensor gets the same id
        self.constants: list[tuple[Tensor, int]] = []  # and the version that was seen
        self.inputs: dict[str, int] = {}
        self.output = 0
        self._slots: dict[int, int] = {}
        self._free: dict[int, bool] = {}
        self._stale: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes two seconds, to keep it away from what it never sees."""
        return False

    @classmethod
    def of(cls, model: nn.Module, row: Mapping[str, Tensor], free: Sequence[str]) -> _Record:
        """Record the model on one row."""
        record = cls()
        row = {name: x.detach().clone() for name, x in row.items()}
        record.inputs = {name: record._keep(row[name], name in free) for name in sorted(row)}
        try:
            with record:
                out = model(dict(row))
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise _RefusedError(f"the network cannot be recorded ({str(error).splitlines()[0][:200]})") from error
        if id(out) not in record._slots or not record._free[record._slots[id(out)]]:
            raise _RefusedError("its outputs do not come from the inputs by torch's operations")
        if record._slots[id(out)] in record._stale:
            raise _RefusedError("its outputs were changed in place through another view")
        if any(tensor._version != version for tensor, version in record.constants):
            raise _RefusedError("it changes its own buffers when it predicts")
        record.output = record._slots[id(out)]
        record.calls = record._needed()
        return record

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation; keep it if it depends on the inputs."""
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor)]
        slots = [self._slots[id(each)] for each in tensors if id(each) in self._slots]
        name = str(func.overloadpacket)
        if any(slot in self._stale for slot in slots):
            raise _RefusedError(f"{name} reads what was changed in place through another view")
        if torch.Tag.nondeterministic_seeded in func.tags and not name.endswith("_for_cpu"):
            raise _RefusedError(f"{name} draws random numbers")
        if not slots:
            return func(*args, **(kwargs or {}))
        constants = [each for each in tensors if id(each) not in self._slots]
        self.constants += [(each, each._version) for each in constants]
        arguments, keywords = tree_map(self._replaced, (tuple(args), dict(kwargs or {})))
        result = func(*args, **(kwargs or {}))
        out = result if isinstance(result, tuple | list) else (result,)
        if not any(isinstance(each, Tensor) for each in out):
            raise _RefusedError(f"{name} decides by the values of a row")
        free = any(self._free[slot] for slot in slots)
        if func._schema.is_mutable:
            self._outdate(args[0], name)
        results = tuple(self._keep(each, free) if isinstance(each, Tensor) else None for each in out)
        self.calls.append(_Call(func, arguments, keywords, results, free))
        return result

    def checked(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> dict[int, Tensor]:
        """Run the record again, row by row, beside the model; return what steps need that cannot vary.

        Shape: → {slot: rows *shape}
        """
        expected = model(dict(inputs)).double()
        wanted = self._frontier()
        found: dict[int, list[Tensor]] = {slot: [] for slot in wanted}
        for row in range(len(expected)):
            values = {slot: inputs[name][row : row + 1].clone() for name, slot in self.inputs.items()}
            for call in self.calls:
                self._run(call, values)
            worst = (values[self.output][0].double() - expected[row]).abs().max()
            if not worst <= TOLERANCE * expected[row].abs().max().clamp_min(1e-6):  # NaN is refused too
                raise _RefusedError("it does other things with other rows, so that one record does not hold for all")
            for slot in wanted:
                found[slot].append(values[slot])
        return {slot: torch.cat([each.flatten().unsqueeze(0) for each in rows]) for slot, rows in found.items()}

    def shape(self, slot: int) -> tuple[int, ...]:
        """Of what lay there in the recorded row."""
        return tuple(self.seen[slot].shape)

    def _frontier(self) -> set[int]:
        """What the steps of the tape read, and none of them computes."""
        computed = {slot for call in self.calls if call.free for slot in call.results}
        read = {slot for call in self.calls if call.free for slot in call.reads}
        return read - computed - {slot for slot in self.inputs.values() if self._free[slot]}

    @staticmethod
    def _run(call: _Call, values: dict[int, Tensor]) -> None:
        arguments, keywords = tree_map(
            lambda each: values[each.number] if isinstance(each, _Slot) else each, (call.arguments, call.keywords)
        )
        result = call.function(*arguments, **keywords)
        out = result if isinstance(result, tuple | list) else (result,)
        values.update({slot: each for slot, each in zip(call.results, out, strict=True) if slot is not None})

    def _needed(self) -> list[_Call]:
        """The calls that the output rests on, in order."""
        wanted, kept = {self.output}, []
        for call in reversed(self.calls):
            if wanted & set(call.results):
                wanted |= set(call.reads)
                kept.append(call)
        return kept[::-1]

    def _keep(self, tensor: Tensor, free: bool) -> int:
        self.seen.append(tensor)
        self._slots[id(tensor)] = len(self.seen) - 1
        self._free[len(self.seen) - 1] = free
        return len(self.seen) - 1

    def _outdate(self, changed: Any, name: str) -> None:
        """What shares memory with a tensor that is changed in place must not be read any more."""
        if not isinstance(changed, Tensor) or id(changed) not in self._slots:
            raise _RefusedError(f"{name} writes into a tensor that was there before")
        memory = changed.untyped_storage()._cdata
        self._stale |= {i for i, each in enumerate(self.seen) if each.untyped_storage()._cdata == memory}

    def _replaced(self, each: Any) -> Any:
        return _Slot(self._slots[id(each)]) if isinstance(each, Tensor) and id(each) in self._slots else each


class _Lowered:
    """The tape of a record."""

    def __init__(self, record: _Record, frozen: Mapping[int, Tensor]) -> None:
        self.tape = Tape()
        self._values: dict[int, Value] = {}
        for name, slot in record.inputs.items():
            if record._free[slot]:
                self._values[slot] = self.tape.slot(record.shape(slot))
                self.tape.inputs[name] = self._values[slot].slot
        for slot, rows in frozen.items():
            self._values[slot] = self.tape.slot(record.shape(slot))
            self.tape.frozen[self._values[slot].slot] = rows.float().cpu().numpy()
        for call in record.calls:
            if call.free:
                self._lower(call)
        self.tape.output = self._values[record.output].slot

    def _lower(self, call: _Call) -> None:
        packet = call.function.overloadpacket
        name = packet.__name__.rstrip("_") if call.function._schema.is_mutable else packet.__name__
        bound = self._bound(call)
        known = call.function.namespace == "aten" and not name.endswith("_out")
        if known and name in LOWERINGS:
            found = LOWERINGS[name](self.tape, name, bound)
        elif known and name in MOVES and len(call.reads) == 1:
            found = self._moved(call)
        else:
            raise _RefusedError(f"{packet} is an operation that this page does not know")
        results = found if isinstance(found, tuple) else (found,)
        for slot, value in zip(call.results, results, strict=True):
            if slot is not None and value is not None:
                self._values[slot] = value

    def _moved(self, call: _Call) -> Any:
        """Runs the operation on positions."""

        def run(positions: Tensor) -> Any:
            arguments, keywords = tree_map(
                lambda each: positions if isinstance(each, _Slot) else each, (call.arguments, call.keywords)
            )
            return call.function(*arguments, **keywords)

        return moved(self.tape, self._values[call.reads[0]], run)

    def _bound(self, call: _Call) -> dict[str, Any]:
        """Arguments by name; tensors as values."""
        schema = call.function._schema.arguments
        given = {each.name: value for each, value in zip(schema, call.arguments, strict=False)}
        bound = {each.name: each.default_value for each in schema} | given | dict(call.keywords)
        return {name: tree_map(self._valued, each) for name, each in bound.items()}

    def _valued(self, each: Any) -> Any:
        if isinstance(each, _Slot):
            if each.number not in self._values:
                raise _RefusedError("it uses a result of an operation that this page does not compute")
            return self._values[each.number]
        return self.tape.constant(each) if isinstance(each, Tensor) else each
