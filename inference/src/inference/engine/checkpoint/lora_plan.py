"""What a LoRA file changes in this transformer, decided from names and shapes before anything is loaded. Pure.

A file that fits in part would give weaker videos and no error, so everything that is not used is a problem, with two
exceptions that are told as notes: changes of a text encoder, and those of `patch_embedding` in files for text-to-video
models, which have fewer input channels there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference.engine.checkpoint.lora_keys import Key, Role, module_names, pair_shape, parameter_of, sort_keys
from inference.engine.checkpoint.store import Shape
from inference.engine.checkpoint.streaming import naming

PATCHES = "patch_embedding.weight"


@dataclass(frozen=True, slots=True)
class Change:
    """One addition to one parameter: the product of two stored tensors, or one tensor as it is."""

    target: str
    factors: tuple[str, ...]
    alpha: str | None = None
    """Key of the number that is divided by `rank`; without one the quotient is that of the whole file."""
    rank: int | None = None
    """None for additions that no rank scales."""


@dataclass(frozen=True, slots=True)
class LoraPlan:
    """The changes, what forbids the merge, and what is left out of it."""

    changes: tuple[Change, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def plan_changes(shapes: Mapping[str, Shape], parameters: Mapping[str, Shape]) -> LoraPlan:
    """Compare the tensors of a file with the parameters of the model."""
    keys = sort_keys(shapes)
    names = module_names(parameters)
    modules: dict[str, dict[Role, list[str]]] = {}
    foreign: list[str] = []
    for key in keys.understood:
        module = names.get(key.module)
        if module is None or (key.role != "alpha" and parameter_of(module, key.role) not in parameters):
            foreign.append(_foreign_name(key))
        else:
            modules.setdefault(module, {}).setdefault(key.role, []).append(key.text)
    changes, half, twice = _changes_of(modules, shapes)
    fitting, other_channels, misshaped = _by_shape(changes, shapes, parameters)
    problems = [
        *(f"{_count(found, name)}: only plain LoRA can be merged" for name, found in keys.other_methods.items()),
        *_said("of pairs without their other half", half),
        *_said("of changes that are in it twice", twice),
        *_said("of unknown meaning", keys.unknown),
        *(f"the model has no {name} ({len(foreign)} such keys)" for name in foreign[:1]),
        *(f"{text} ({len(misshaped)} such changes)" for text in misshaped[:1]),
    ]
    if not fitting:
        problems.append("no key fits: it is for another model")
    notes = [*_said("for a text encoder", keys.other_models), *_said("for text-to-video models", other_channels)]
    return LoraPlan(tuple(fitting), tuple(problems), tuple(notes))


def _foreign_name(key: Key) -> str:
    return key.module if key.role == "alpha" else parameter_of(key.module, key.role)


def _changes_of(
    modules: Mapping[str, Mapping[Role, Sequence[str]]], shapes: Mapping[str, Shape]
) -> tuple[list[Change], list[str], list[str]]:
    changes: list[Change] = []
    half: list[str] = []
    twice: list[str] = []
    for module, found in modules.items():
        twice += [key for keys in found.values() for key in keys[1:]]
        one = {role: keys[0] for role, keys in found.items()}
        up, down, alpha = one.get("up"), one.get("down"), one.get("alpha")
        if up and down:
            rank = shapes[down][0] if shapes[down] else 0
            changes.append(Change(parameter_of(module, "up"), (up, down), alpha, rank))
            if bias := one.get("up_bias"):
                changes.append(Change(parameter_of(module, "up_bias"), (bias,), alpha, rank))
        else:
            half += [key for key in (up, down, one.get("up_bias")) if key]
        additions: tuple[Role, ...] = ("weight", "bias", "modulation")
        changes += [Change(parameter_of(module, role), (one[role],)) for role in additions if role in one]
    return changes, half, twice


def _by_shape(
    changes: Sequence[Change], shapes: Mapping[str, Shape], parameters: Mapping[str, Shape]
) -> tuple[list[Change], list[str], list[str]]:
    fitting: list[Change] = []
    other_channels: list[str] = []
    misshaped: list[str] = []
    for change in changes:
        wanted = parameters[change.target]
        found, ranks = _shape_of(change, shapes, wanted)
        if found == wanted and len(ranks) < 2:
            fitting.append(change)
        elif change.target == PATCHES:
            other_channels += change.factors
        elif len(ranks) > 1:
            misshaped.append(f"the halves of the change of {change.target} have ranks {min(ranks)} and {max(ranks)}")
        else:
            misshaped.append(f"the change of {change.target} is {list(found)}, not {list(wanted)}")
    return fitting, other_channels, misshaped


def _shape_of(change: Change, shapes: Mapping[str, Shape], wanted: Shape) -> tuple[Shape, set[int]]:
    if len(change.factors) == 1:
        return shapes[change.factors[0]], set()
    up, down = (shapes[key] for key in change.factors)
    return pair_shape(up, down, wanted), {up[1] if len(up) > 1 else 0, change.rank or 0}


def _said(what: str, keys: Sequence[str]) -> list[str]:
    return [_count(keys, what)] if keys else []


def _count(keys: Sequence[str], what: str) -> str:
    return "".join(naming(f"keys {what}" if what.startswith(("of", "for")) else f"keys of {what}", keys))
