"""HTML pages that load no other file: templates of this package, and data packed into the page."""

import base64
import json
import zlib
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return the page that `template` (a file of this package) makes of `values`; text in them is escaped."""
    environment = Environment(
        loader=PackageLoader("generalthinker.reporting", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def packed(data: Any) -> str:
    """Return JSON-able `data` as base64 of its zlib-compressed JSON: any text may be in it, and none ends a tag.

    Browsers unpack it with `DecompressionStream("deflate")`.
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), level=9)).decode()
