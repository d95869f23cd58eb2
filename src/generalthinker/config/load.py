"""Read the configuration: merge YAML files and check them. Errors name the key, its value and what is allowed."""

import difflib
import hashlib
import json
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from generalthinker.config.moved import moved_keys
from generalthinker.config.settings import Settings
from generalthinker.errors import StageError
from generalthinker.files import read_json, write_text


class SettingsError(StageError, ValueError):
    """The configuration cannot be used; the message says where, what was found and what is allowed."""


REMOVABLE = ("tables", "figures")


def load(paths: list[str] | list[Path]) -> Settings:
    """Return the settings in `paths`: later files override earlier ones key by key. Raises SettingsError."""
    merged: dict[str, Any] = {}
    for path in paths:
        _merge(merged, read_yaml(path))
    return parse_settings(merged, " + ".join(map(str, paths)))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Return the mapping in one configuration file. Raises SettingsError, which names the file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read as a text file in UTF-8: {error}") from None
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from None
    if content is None:
        raise SettingsError(f"{path}: the file is empty; expected keys such as `training:` with their values")
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: expected a mapping at the top, found {type(content).__name__}")
    return content


def parse_settings(content: dict[str, Any], origin: str = "configuration") -> Settings:
    """Return the settings in a mapping; `origin` is named in errors. Raises SettingsError.

    A table or figure that is null is left out: so a file laid over another one removes it.
    """
    lines = moved_keys(content)
    if not lines:
        try:
            kept = {name: _without_nulls(content[name]) for name in REMOVABLE if name in content}
            return Settings.model_validate(content | kept)
        except ValidationError as error:
            lines = [line for problem in error.errors() for line in _describe(problem)]
    raise SettingsError("\n".join([f"{origin}: {len(lines)} problem(s)", *(f"  {line}" for line in lines)]))


def _without_nulls(section: Any) -> Any:
    return {name: item for name, item in section.items() if item is not None} if isinstance(section, dict) else section


def freeze(settings: Settings) -> Path:
    """Write `settings` to `<results>/settings/<hash>.json` if it is not there, and return that path.

    Jobs read this file, so that changes to the YAML files do not affect a workflow that is already running.
    """
    text = json.dumps(settings.model_dump(mode="json"), indent=1, sort_keys=False, ensure_ascii=False) + "\n"
    path = frozen_path(settings)
    if not path.exists():
        write_text(path, text)
    return path


def frozen_path(settings: Settings) -> Path:
    """Return the path that `freeze` writes `settings` to."""
    digest = hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:12]
    return Path(settings.results) / "settings" / f"{digest}.json"


def load_frozen(path: str | Path) -> Settings:
    """Return the settings that `freeze` wrote to `path`."""
    return parse_settings(read_json(path), str(path))


def schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def _merge(target: dict[str, Any], update: dict[str, Any]) -> None:
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            # A YAML anchor may have put this mapping into several places; only this one is changed.
            target[key] = dict(target[key])
            _merge(target[key], value)
        else:
            target[key] = value


def _describe(problem: Any) -> list[str]:
    """Turn one pydantic error into lines of the form `key = value: what is wrong; what is allowed`."""
    location = list(problem["loc"])
    parts = [part for depth, part in enumerate(location) if not _is_tag(location[:depth], part)]
    key = ".".join(map(str, parts)) or "configuration"
    value = problem["input"]
    kind = problem["type"]
    if kind == "extra_forbidden":
        allowed = _keys_at(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), allowed, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return [f"{key} = {value!r}: unknown key; {hint}allowed: {', '.join(allowed) or 'no further keys'}"]
    if kind == "union_tag_not_found":
        return [f"{key}: {problem['msg'].lower()}; allowed: {', '.join(_tags_at(location))}"]
    if kind == "missing":
        return [f"{key}: missing; {problem['msg'].lower()}"]
    if kind == "value_error":
        lines = str(problem["ctx"]["error"]).splitlines()
        return lines if not location else [f"{key}: {line}" for line in lines]
    shown = repr(value) if not isinstance(value, dict | list) else type(value).__name__
    message = problem["msg"][0].lower() + problem["msg"][1:]
    if kind in ("float_type", "int_type") and isinstance(value, str):
        message += " (write numbers without quotes, and 1.0e-6 instead of 1e-6, which YAML reads as text)"
    if kind.startswith(("greater_than", "less_than")) and (meaning := _meaning(location)):
        message += f" ({meaning})"
    return [f"{key} = {shown}: {message}"]


def _keys_at(location: list[Any]) -> list[str]:
    """Return the keys allowed at `location`."""
    return list(dict.fromkeys(name for section in _sections_at(location) for name in section.model_fields))


def _meaning(location: list[Any]) -> str | None:
    """Return the description of the key at `location`; indices into lists are ignored."""
    keys = [part for part in location if isinstance(part, str)]
    fields = [section.model_fields.get(keys[-1]) for section in _sections_at(keys[:-1])]
    return next((field.description for field in fields if field and field.description), None)


def _sections_at(location: list[Any]) -> list[type[BaseModel]]:
    """Return the sections that are allowed at `location`, following mappings and tagged unions."""
    candidates: list[Any] = [Settings]
    for part in location:
        candidates = [kind for candidate in candidates for kind in _step(candidate, part)]
    return [kind for kind in candidates if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _is_tag(location: list[Any], part: Any) -> bool:
    """Return whether `part` is the tag of a tagged union; pydantic adds these tags to a location."""
    sections = _sections_at(location)
    return part in _tags(sections) and not any(part in section.model_fields for section in sections)


def _tags_at(location: list[Any]) -> list[str]:
    return _tags(_sections_at(location))


def _tags(sections: list[type[BaseModel]]) -> list[str]:
    """Return the tags of `sections` that are members of a tagged union."""
    literals = [
        field.annotation
        for section in sections
        for field in section.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal and field.is_required()
    ]
    return [tag for literal in literals for tag in typing.get_args(literal)]


def _step(kind: Any, part: Any) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if part in kind.model_fields:
            return _flatten(kind.model_fields[part].annotation)
        return [kind] if part in _tags([kind]) else []
    if typing.get_origin(kind) is dict:
        return _flatten(typing.get_args(kind)[1])
    return []


def _flatten(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0])
    if origin is typing.Union or str(type(annotation)) == "<class 'types.UnionType'>":
        return [kind for option in typing.get_args(annotation) for kind in _flatten(option)]
    return [annotation]
