"""How every program logs. One default for all: a sync says the same in a Job and in an init container."""

from __future__ import annotations

from init_sync.shell.flags import Settings, flag, one_of

LEVELS = ("debug", "info", "warning", "error")


class LogSettings(Settings):
    """To inherit from."""

    log_format: str = flag(
        "text for people, or json for collectors", one_of("text", "json"), group="log", default="text"
    )
    log_level: str = flag("debug, info, warning or error", one_of(*LEVELS), group="log", default="info")
