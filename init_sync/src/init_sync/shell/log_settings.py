"""How every program logs. One default for all: a sync says the same in a Job and in an init container."""

from typing import Annotated

from init_sync.shell.flags import Flag, Settings, one_of

LEVELS = ("debug", "info", "warning", "error")


class LogSettings(Settings):
    """To inherit from."""

    log_format: Annotated[str, Flag("text for people, or json for collectors", one_of("text", "json"))] = "text"
    log_level: Annotated[str, Flag("debug, info, warning or error", one_of(*LEVELS))] = "info"
