"""The report's JSON schema, as a check that tests call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "unit" / "report.schema.json").read_text())


def check_report(report: Any) -> None:
    """Raise ValidationError unless this is a whole report."""
    Draft202012Validator(SCHEMA).validate(report)


def check_shortened(report: Any) -> None:
    """Raise ValidationError unless this is a report as a termination message may hold it."""
    Draft202012Validator({"$ref": "#/$defs/shortened", "$defs": SCHEMA["$defs"]}).validate(report)
