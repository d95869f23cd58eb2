"""Typed settings: they define the keys of the YAML files, the JSON schema and every default."""

from generalthinker.config.load import SettingsError, load, load_frozen, parse_settings
from generalthinker.config.settings import Settings

__all__ = ["Settings", "SettingsError", "load", "load_frozen", "parse_settings"]
