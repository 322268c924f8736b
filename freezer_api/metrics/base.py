"""A gauge with its samples, without a word of any library."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One value; `labels` in the order of its family's."""

    labels: Sequence[str] = ()
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The samples of one name."""

    name: str
    meaning: str
    labels: Sequence[str] = ()
    samples: Sequence[Sample]
