"""How the parts of the status are declared: what pydantic is told, and kinds of fields that several parts have."""

from __future__ import annotations

from sys import intern
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

CAMEL = ConfigDict(extra="ignore", alias_generator=to_camel, validate_by_name=True, use_attribute_docstrings=True)
"""Keys that this version does not know are dropped."""
Word = Annotated[str, AfterValidator(intern)]
"""One of a few that all caches have: kept once."""
Time = Annotated[Word, Field(json_schema_extra={"format": "date-time"})]
"""RFC 3339, in UTC; empty: never. One status says most of its times more than once."""
