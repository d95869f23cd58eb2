"""What all settings share: unknown keys and wrong types are errors, and values never change after loading."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A block of the configuration."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Strength = Annotated[float, Field(gt=0, lt=1, description="β, equation 14: below 1 the advantage cannot change sign")]
Threshold = Annotated[float, Field(gt=0, description="τ, equation 11, in standard deviations of the prefix's signal")]
