"""The method families: every subclass of `Method` in a module of this package, by its `family`."""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args

from pydantic import Field

from generalthinker.methods.method import Knob, Method

__all__ = ["FAMILIES", "SWEEPABLE", "Knob", "Method", "MethodSettings"]


def _families() -> dict[str, type[Method]]:
    families: dict[str, type[Method]] = {}
    for module in pkgutil.iter_modules(__path__):
        for member in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(member, type) and issubclass(member, Method):
                # The annotation is Literal["<name>"]; base classes of families have none.
                for family in get_args(member.model_fields["family"].annotation):
                    families[family] = member
    return families


def _sweepable(families: dict[str, type[Method]]) -> dict[str, tuple[Knob, Any]]:
    """Return the knob and the type of its values by field. Raises TypeError if families define a field differently."""
    fields: dict[str, tuple[Knob, Any]] = {}
    for family, method in families.items():
        for name, knob in method.knobs().items():
            if name in fields and fields[name][0] != knob:
                raise TypeError(
                    f"methods: the knob {name!r} of the family {family!r} differs from the knob of this name in "
                    "another family; rename it, or make both the same"
                )
            fields[name] = knob, method.knob_type(name)
    return fields


FAMILIES = _families()
SWEEPABLE = _sweepable(FAMILIES)
if TYPE_CHECKING:
    MethodSettings = Method
else:
    MethodSettings = Annotated[Union[tuple(FAMILIES.values())], Field(discriminator="family")]  # noqa: UP007
