"""Typed settings: the one source for the YAML files' keys, the JSON schema and every default."""

from generalthinker.config.load import SettingsError, load, load_frozen, parse_settings
from generalthinker.config.settings import Settings

__all__ = ["Settings", "SettingsError", "load", "load_frozen", "parse_settings"]
