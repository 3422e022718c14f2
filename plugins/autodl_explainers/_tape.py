"""What a network does to its inputs: every operation of one forward pass, written down in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from autodl.attribution import Question
from autodl.errors import ExplanationError
from autodl_explainers._forms import MOVES, SHAPES, WRITTEN_OUT, Form, form_of, name_of, tensors_of
from autodl_explainers._nodes import Node as Node
from autodl_explainers._nodes import Slot
from autodl_explainers._nodes import Step as Step
from autodl_explainers._nodes import Tape as Tape

AUDIT_ROWS = 4


def record(question: Question) -> tuple[Step, ...]:
    """What the model does to the first few rows.

    Raises:
        ExplanationError: The forward pass cannot be recorded.
    """
    return record_pass(question.model, audit_rows(question.inputs)).steps()


def audit_rows(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The first few rows, at least two, so that an axis of one row is not taken for something else."""
    few = {name: x[:AUDIT_ROWS] for name, x in inputs.items()}
    return {name: x if len(x) > 1 else x.repeat(2, *[1] * (x.dim() - 1)) for name, x in few.items()}


@torch.no_grad()
def record_pass(model: Callable[[dict[str, Tensor]], Tensor], inputs: Mapping[str, Tensor]) -> Tape:
    """Run the model once and write down what it does; writes in place are recorded as what they amount to.

    Raises:
        ExplanationError: The forward pass cannot be recorded.
    """
    recorder = Recorder(model)

    def run(given: dict[str, Tensor]) -> Tensor:
        answer = model({name: x.clone() for name, x in given.items()})
        recorder.last = True
        return answer.clone()

    given = {name: x.detach() for name, x in inputs.items()}
    for name, x in given.items():
        recorder.tape.inputs[name] = recorder.track(x)
    try:
        with sdpa_kernel(SDPBackend.MATH), _slow_attention(), recorder.watching(), recorder:
            recorder.tape.answer = torch.func.functionalize(run)(given)
    except Exception as error:  # whatever a forward() of somebody else's may raise
        raise ExplanationError(
            f"the forward pass must be made of plain torch operations, however recording it ended in "
            f"'{str(error).strip().splitlines()[0] if str(error) else type(error).__name__}'; use shapley"
        ) from error
    return recorder.tape


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every core operation, follows which values depend on the inputs, and knows which module runs."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes two seconds, to keep it away from what it never sees."""
        return False

    def __init__(self, model: object) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.tape = Tape()
        self.last = False
        self.paths = {id(each): path for path, each in model.named_modules()} if isinstance(model, nn.Module) else {}
        self.model = model
        self.stack: list[nn.Module] = []
        self.slots: dict[int, int] = {}
        self.blind: set[int] = set()
        self.kept: list[Tensor] = []

    def track(self, value: Tensor) -> int:
        """Give the value a slot; the tape holds on to it, so that its identity stays its own."""
        slot = len(self.tape.values)
        self.tape.values[slot] = value
        self.slots[id(value)] = slot
        return slot

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Follow which module runs."""

        def enter(module: nn.Module, _: Any) -> None:
            self.stack.append(module)
            self.tape.calls[self.paths.get(id(module), "")] += 1

        def leave(module: nn.Module, *_: Any) -> None:
            self.stack.pop()

        modules = list(self.model.modules()) if isinstance(self.model, nn.Module) else []
        handles = [module.register_forward_pre_hook(enter) for module in modules]
        handles += [module.register_forward_hook(leave, always_call=True) for module in modules]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation, written out where it has no form of its own, and note it down."""
        kwargs = kwargs or {}
        positions = [i for i, each in enumerate(args) if self._depends(each)]
        if any(self._depends(each) for each in kwargs.values()):
            positions.append(-1)
        random = torch.Tag.nondeterministic_seeded in func.tags and name_of(func) not in WRITTEN_OUT
        if (not positions or name_of(func) in SHAPES) and not random:
            return func(*args, **kwargs)
        form = self._form(func, positions, args, kwargs)
        if form == "other" and not random:
            found = self._written_out(func, args, kwargs)
            if found is not NotImplemented:
                return found
        if func._schema.is_mutable:
            return self._in_place(func, args, kwargs)
        found = func(*args, **kwargs)
        self._note(func, (args, kwargs), found, "other" if random else form)
        return found

    def _form(self, func: Any, positions: list[int], args: Any, kwargs: Any) -> Form:
        """Positions of maxima may be laid out anew, but no share flows through them."""
        blind = [self.slots.get(id(each)) in self.blind for each in tree_flatten(args)[0] if self._depends(each)]
        if func._schema.is_mutable or (any(blind) and (name_of(func) not in MOVES or self.last)):
            return "other"
        return form_of(func, positions, args, kwargs)

    def _written_out(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The operation in terms of others, where it can be written so."""
        with self:
            if name_of(func) not in WRITTEN_OUT:
                return func.decompose(*args, **kwargs)
            try:
                return WRITTEN_OUT[name_of(func)](*args, **kwargs)
            except NotImplementedError:
                return NotImplemented

    def _note(self, func: Any, arguments: Any, found: Any, form: Form) -> None:
        leaves, tree = tree_flatten(arguments)
        operands = tuple((i, self.slots[id(leaf)]) for i, leaf in enumerate(leaves) if self._depends(leaf))
        for position, slot in operands:
            leaves[position] = Slot(slot)
        outs = tuple(self.track(each) for each in tensors_of(found))
        if form == "pool" or name_of(func) == "log_sigmoid_forward":
            self.blind.update(outs[1:])
        elif any(slot in self.blind for _, slot in operands):
            self.blind.update(outs)
        module = self.stack[-1] if self.stack else None
        path = "" if module is None else self.paths.get(id(module), "")
        kind = None if module is None else type(module)
        self.tape.nodes.append(Node(func, leaves, tree, operands, outs, form, path, kind))
        if self.last:
            self.tape.output = outs[0]

    def _in_place(self, func: Any, args: Any, kwargs: Any) -> Any:
        """As the operation that returns a new tensor, where nobody else sees the memory that is written to."""
        plain = getattr(torch.ops.aten, name_of(func).removesuffix("_"), None)
        plain = getattr(plain, func._overloadname, None)
        target = args[0] if args else None
        if plain is None or plain is func or not isinstance(target, Tensor) or self._shared(target):
            found = func(*args, **kwargs)
            self._note(func, (args, kwargs), found, "other")
            return found
        if id(target) in self.slots:
            self.tape.values[self.slots[id(target)]] = before = target.clone()
            self.slots[id(before)] = self.slots.pop(id(target))
            args = (before, *args[1:])
        found = self.__torch_dispatch__(plain, (), args, kwargs)
        target.copy_(found)
        self.slots[id(target)] = self.slots[id(found)]
        self.kept.append(target)
        return target

    def _shared(self, target: Tensor) -> bool:
        memory = target.untyped_storage()
        return memory.nbytes() != target.numel() * target.element_size() or any(
            each is not target and each.untyped_storage().data_ptr() == memory.data_ptr()
            for each in self.tape.values.values()
        )

    def _depends(self, value: Any) -> bool:
        if isinstance(value, Tensor):
            return id(value) in self.slots
        return isinstance(value, list | tuple) and any(self._depends(each) for each in value)


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Attention layers run operation by operation, not as one that nobody can look into."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
