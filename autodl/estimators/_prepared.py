"""Estimators that look at what was learnt as it is set, and make it ready to predict with."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from autodl.contracts import Estimator


class Prepared(Estimator):
    """Keeps numbers and arrays as ``learnt``, whether ``fit`` or a file sets it, and what predicts beside them."""

    _found: Any = None

    @property
    def learnt(self) -> Any:
        """What ``fit`` found: numbers and arrays in plain containers."""
        return self._found

    @learnt.setter
    def learnt(self, found: Any) -> None:
        self._prepare(found)
        self._found = found

    @abstractmethod
    def _prepare(self, found: Any) -> None:
        """Make ready what predicts; raise where it cannot, for a file may hold anything."""
