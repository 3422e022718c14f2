"""The encoder that builds, tries and runs a user's own module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from autodl.contracts import Dropout, Encoder
from autodl.errors import PluginError, TrialError
from autodl.records import InputSpec
from autodl.space import Choice

SHAPES = {"vector": (1,), "image": (3,), "any": (1, 2, 3, 4)}
_MAPS = {nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}  # axes over which one draw drops a whole map


class OwnEncoder(Encoder):
    """A user's module as an encoder: its width is found by a dry run, vectors become one token.

    Its ``nn.Dropout`` modules are replaced by ``autodl.contracts.Dropout``, so that each member of a pack draws from
    its own seed.

    Attributes:
        module: The user's class.
        shapes: Which inputs it takes: ``vector``, ``image`` or ``any``.

    Shape: batch *shape → batch tokens width.
    """

    module: ClassVar[type[nn.Module]]
    shapes: ClassVar[str]

    def __init__(self, spec: InputSpec, **settings: Any) -> None:
        super().__init__()
        self.inner = self.module(spec.shape, **settings)
        seen: dict[str, list[torch.Size]] = {}
        self.width = _dry_run(self.inner, spec.shape, seen).shape[-1]
        _replace_dropout(self.inner, seen)

    @classmethod
    def accepts(cls, spec: InputSpec) -> bool:
        """Whether it is meant for such a shape; the module is tried at its default settings before it may say so.

        Raises:
            PluginError: The module breaks the contract.
        """
        if len(spec.shape) not in SHAPES[cls.shapes]:
            return False
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                _try_all(cls, spec)
            except TrialError as error:
                raise PluginError(
                    f"{error}; change it, or where it is not meant for this shape, set accepts='vector' or 'image'"
                ) from error
        return True

    def forward(self, x: Tensor) -> Tensor:
        """Shape: batch *shape → batch tokens width."""
        tokens: Tensor = self.inner(x)
        return tokens.unsqueeze(1) if tokens.dim() == 2 else tokens


def _dry_run(inner: nn.Module, shape: tuple[int, ...], seen: dict[str, list[torch.Size]]) -> Tensor:
    """Return what the module makes of two rows, without a trace left; note what each dropout of it saw.

    Raises:
        TrialError: It raises.
        PluginError: What it returns is of another shape than the contract says.
    """

    def noting(name: str) -> Any:
        return lambda module, inputs: seen.setdefault(name, []).append(inputs[0].shape)

    dropouts = [(name, module) for name, module in inner.named_modules() if isinstance(module, _DropoutNd)]
    hooks = [module.register_forward_pre_hook(noting(name)) for name, module in dropouts]
    training = inner.training
    inner.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            outputs = inner(_rows(shape))
    except Exception as error:  # whatever a stranger's module raises
        raise TrialError(f"{_who(inner)} must take rows of shape {shape}, however {_said(error)}") from error
    finally:
        inner.train(training)
        for hook in hooks:
            hook.remove()
    if not isinstance(outputs, Tensor) or outputs.dim() not in (2, 3) or len(outputs) != 2 or not outputs.numel():
        came = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise PluginError(
            f"{_who(inner)} must return (rows, features) or (rows, tokens, features) for {(2, *shape)}, however {came} "
            "came; change its forward"
        )
    if not outputs.is_floating_point():
        raise PluginError(f"{_who(inner)} must return floating point, however {outputs.dtype} came; change its forward")
    return outputs


def _replace_dropout(inner: nn.Module, seen: Mapping[str, list[torch.Size]]) -> None:
    """Let dropout draw from the member's own seed, wherever it works on whole rows.

    Raises:
        PluginError: One dropout is used twice: its noise is drawn once a step.
    """
    for name, module in list(inner.named_modules()):
        if type(module) not in (nn.Dropout, *_MAPS) or name not in seen:
            continue
        if len(seen[name]) > 1:
            raise PluginError(
                f"{_who(inner)} must have one dropout for each use, however '{name}' is used {len(seen[name])} times; "
                "make one for each"
            )
        rows, *row = seen[name][0]
        axes = _MAPS.get(type(module), 0)
        if rows == 2:
            inner.set_submodule(name, Dropout(module.p, (*row[: len(row) - axes], *[1] * axes)))


def _try_all(cls: type[OwnEncoder], spec: InputSpec) -> None:
    """Build the encoder as a search would and check what a pack asks of it."""
    settings = cls.space_for(spec).defaults()
    try:
        encoder = cls(spec, **settings).eval()
    except (PluginError, TrialError):
        raise
    except Exception as error:  # whatever a stranger's constructor raises
        raise TrialError(
            f"{cls.__name__} must be built for rows of shape {spec.shape}, however {_said(error)}"
        ) from error
    cls.convolutional = any(isinstance(module, _ConvNd) for module in encoder.modules())
    rows = _rows(spec.shape)
    with torch.no_grad():
        if not torch.allclose(encoder(rows)[:1], encoder(rows[:1]), rtol=1e-3, atol=1e-4):
            raise PluginError(
                f"{cls.__name__} must treat every row by itself, however a row alone gives other features than beside "
                "another; look for an operation over the first axis"
            )
    _check_buffers(encoder, rows)
    _check_members(cls, spec, settings)
    _check_pack(cls, spec, settings)


def _check_buffers(encoder: OwnEncoder, rows: Tensor) -> None:
    """Training must not write into buffers, as running statistics do: members of a pack share one object."""
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder.train()
    with torch.no_grad():
        encoder(rows)
    for name, buffer in encoder.named_buffers():
        if name not in before or before[name].shape != buffer.shape or not torch.equal(before[name], buffer):
            raise PluginError(
                f"{type(encoder).__name__} must not change its buffers, however '{name.removeprefix('inner.')}' "
                "changes in training; use LayerNorm or GroupNorm instead of BatchNorm"
            )


def _check_members(cls: type[OwnEncoder], spec: InputSpec, settings: Mapping[str, Any]) -> None:
    """A setting in which members of a pack differ must be a buffer: all else is shared."""
    for name, dimension in cls.space_for(spec).items():
        if not dimension.per_member or name not in settings:
            continue
        ends = dimension.options if isinstance(dimension, Choice) else (dimension.low, dimension.high)
        low, high = (dict(cls(spec, **{**settings, name: end}).named_buffers()) for end in (ends[0], ends[-1]))
        if ends[0] != ends[-1] and all(torch.equal(value, high[key]) for key, value in low.items()):
            raise PluginError(
                f"a setting that is per member must be a buffer of {cls.__name__}, however '{name}' is none; "
                "call register_buffer with it, or leave per_member out of its range"
            )


def _check_pack(cls: type[OwnEncoder], spec: InputSpec, settings: Mapping[str, Any]) -> None:
    """Two members must run stacked."""
    networks = [cls(spec, **settings) for _ in range(2)]
    weights, buffers = stack_module_state(networks)
    rows = _rows(spec.shape).expand(2, 2, *spec.shape)

    def one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Any:
        return functional_call(networks[0], (weights, buffers), (x,))

    try:
        torch.vmap(one, randomness="different")(weights, buffers, rows)
    except Exception as error:  # whatever vmap or a stranger's module raises
        raise PluginError(
            f"{cls.__name__} must run under torch.vmap, as trials train stacked, however {_said(error)}; avoid "
            "nn.LSTM, nn.GRU, .item() and branches on values"
        ) from error


def _rows(shape: tuple[int, ...]) -> Tensor:
    """Two rows of chance, the same at every call. Shape: → 2 *shape."""
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))


def _who(inner: nn.Module) -> str:
    return type(inner).__name__


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]} came"
