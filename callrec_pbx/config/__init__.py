"""The configuration: a TOML file with `CALLREC_*` variables over it."""

from callrec_pbx.config.errors import ConfigError, Problem
from callrec_pbx.config.load import (
    DEFAULT_PATH,
    config_path,
    installed_languages,
    load_config,
    parse_config,
)
from callrec_pbx.config.settings import Config

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Problem",
    "config_path",
    "installed_languages",
    "load_config",
    "parse_config",
]
