"""The table of all caches: one row each, made of several queries that share namespace and cache."""

from __future__ import annotations

from dataclasses import dataclass

from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.dashboard import DataTransformerConfig, DynamicConfigValue

from dashboards import panels
from dashboards.panels import Query

EACH = "max by (namespace, cache)"
PAGE = (
    "/d/modelcache-cache?var-datasource=${datasource}"
    "&var-namespace=${__data.fields.Namespace}&var-cache=${__data.fields.Cache}&${__url_time_range}"
)


@dataclass(frozen=True, slots=True)
class Column:
    """``label``: the label that says it; without one, the query's value does."""

    title: str
    expr: str
    label: str = ""
    unit: str = panels.COUNT


def columns(chosen: str) -> list[Column]:
    present, size = (f"{EACH} (modelcache_{name}_bytes{{{chosen}}})" for name in ("present", "size"))
    verified = f"min by (namespace, cache) (modelcache_last_verified_timestamp_seconds{{{chosen}}})"
    return [
        Column("Phase", f"max by (namespace, cache, phase) (modelcache_phase{{{chosen}}} == 1)", "phase"),
        Column("Present", f"{present} / ({size} > 0)", unit=panels.SHARE),
        Column("Size", size, unit=panels.BYTES),
        Column("Rate", f"{EACH} (modelcache_rate_bytes_per_second{{{chosen}}})", unit=panels.RATE),
        Column("Verified", f"{verified} * 1000", unit=panels.MOMENT),
        Column("Pods waiting", f"{EACH} (modelcache_gate_waiting_pods{{{chosen}}})"),
        Column("Outdated pods", f"{EACH} (modelcache_outdated_pods{{{chosen}}})"),
        Column("Update available", f"{EACH} (modelcache_update_available{{{chosen}}})", unit=panels.BOOLEAN),
        Column("Unused", f"{EACH} (modelcache_unused_bytes{{{chosen}}})", unit=panels.BYTES),
        Column("Failures in a row", f"{EACH} (modelcache_consecutive_sync_failures{{{chosen}}})"),
        Column("Stalled", f"{EACH} (modelcache_stalled{{{chosen}}})", unit=panels.BOOLEAN),
        Column("Why not complete", f"max by (namespace, cache, reason) (modelcache_reason{{{chosen}}})", "reason"),
    ]


def cache_table(chosen: str) -> table.Panel:
    shown = columns(chosen)
    panel = table.Panel().title("All caches").datasource(panels.SOURCE).unit(panels.COUNT).span(24).height(9)
    panel.description("One line for each cache. A click on its name leads to its own page.").filterable(True)
    panel.targets(panels.as_rows([Query(each.expr) for each in shown]))
    panel.with_transformation(DataTransformerConfig(id_val="merge", options={}))
    panel.with_transformation(DataTransformerConfig(id_val="organize", options=_organized(shown)))
    for each in shown:
        if not each.label:
            panel.override_by_name(each.title, [DynamicConfigValue("unit", each.unit)])
    return panel.override_by_name("Cache", [DynamicConfigValue("links", [{"title": "This cache", "url": PAGE}])])


def _organized(shown: list[Column]) -> dict[str, object]:
    """Names and order of the merged columns; values of queries that a label speaks for are left out."""
    value = {each.title: f"Value #{panels.letter(number)}" for number, each in enumerate(shown)}
    names = {"namespace": "Namespace", "cache": "Cache"} | {
        each.label or value[each.title]: each.title for each in shown
    }
    hidden = {"Time": True} | {value[each.title]: True for each in shown if each.label}
    return {
        "renameByName": names,
        "indexByName": {name: place for place, name in enumerate(names)},
        "excludeByName": hidden,
    }
