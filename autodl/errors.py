"""The error tree: everything that autodl raises for a caller to act on.

AutoDLError              one line that says what must hold, what came, what to do; the command line exits with 2
├── DataError            a file, a column or a cell breaks a rule
├── UnknownNameError     a name that nothing is registered under; carries the nearest one and the full list
├── SpaceError           a search space that asks for what a component cannot do
├── RunError             a run folder that cannot be written, read or resumed
├── PredictorError       a saved predictor that is damaged, or newer than this version
├── PluginError          a component that breaks its contract
├── ExplanationError     an explanation that would mislead, or a question that cannot be answered
└── TrialError           one trial failed: it becomes a row with a reason, the run goes on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AutoDLError(Exception):
    """Base of all errors that a user can act on."""


class DataError(AutoDLError):
    """A file, a column or a cell breaks a rule."""


class UnknownNameError(AutoDLError):
    """A name that nothing is registered under."""


class SpaceError(AutoDLError):
    """A search space asks for what a component cannot do."""


class RunError(AutoDLError):
    """A run folder cannot be written, read or resumed."""


class PredictorError(AutoDLError):
    """A saved predictor is damaged, or newer than this version."""


class PluginError(AutoDLError):
    """A component breaks its contract."""


class ExplanationError(AutoDLError):
    """An explanation would mislead, or a question cannot be answered."""


class TrialError(AutoDLError):
    """One trial failed; the run goes on."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint such as ``did you mean 'mlp'? known: cnn, mlp``."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}known: {', '.join(names) or 'none'}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """Return the error for a name that is not among the known ones, with the nearest of them."""
    return UnknownNameError(f"no {kind} is called '{name}'; {nearest(name, known)}")
