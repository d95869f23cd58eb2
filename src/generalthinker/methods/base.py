"""Base: the model before any training, the first column of the paper's Table 1."""

from typing import Literal

from generalthinker.methods.method import Method


class Base(Method):
    """The untrained model."""

    family: Literal["base"]
