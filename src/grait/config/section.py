"""What every section of the config is made of."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from grait.runtime.printable import well_formed

LARGEST = 10**15
"""No whole number of a config comes near this."""


class Section(BaseModel):
    """Base of every part of the config: frozen, and strict about unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    instead: ClassVar[dict[str, str]] = {}
    """What to do about keys that other tools have."""

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        annotation = cls.model_fields[str(info.field_name)].annotation
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("should not be true or false")
        if isinstance(value, int) and abs(value) >= LARGEST:
            raise ValueError(f"should be a number below {LARGEST:.0e}")
        if isinstance(value, str) and well_formed(value) != value:
            raise ValueError(f"should be UTF-8: {well_formed(value)!r} was not")
        return value
