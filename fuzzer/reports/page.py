"""Pages that stand alone: one file, no network, a content security policy that names what may run by its digest."""

from __future__ import annotations

import base64
import functools
import hashlib
from typing import Any

import jinja2
from markupsafe import Markup


def page(template: str, *, styles: tuple[str, ...], scripts: tuple[str, ...], **values: Any) -> str:
    """The page of a template that extends ``page.html.j2``. ``styles`` and ``scripts`` are files among the templates.
    All values are escaped. Since the policy names digests, nothing else than those files runs or styles anything, even
    if something of others were not escaped."""
    environment = _environment()
    style, script = (
        "\n".join(environment.get_template(name).render().strip() for name in names) + "\n"
        for names in (styles, scripts)
    )
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(
        values, policy=policy, style=Markup(style), script=Markup(script)
    )  # fmt: skip


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("fuzzer.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
