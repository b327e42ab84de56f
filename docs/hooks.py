"""What MkDocs asks while it builds the site: generated pages, formulas, the table of contents.

Pages of settings, commands and the API are made of the settings class, the commands and the
OpenAPI document, so they cannot be out of date.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import SecretStr
from redis import Redis
from typer.main import get_command

from backend.cli import app as commands
from backend.service import Service
from backend.settings import Settings, environment_name, load_settings
from backend.web.app import create_app

JSON = dict[str, Any]

ROOT = Path(__file__).parents[1]
REPOSITORY_FILES = {"../CHANGELOG.md": "changelog.md", "../CONTRIBUTING.md": "contributing.md"}
"""Links out of docs/, which work in the repository, and the pages they are on the site."""

_MATH = re.compile(r"^```math\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)]+)\)")
_FROM_ROOT = re.compile(r"\]\(docs/([^)]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the table of contents that do not exist, and add those it forgets."""
    folder = Path(config.docs_dir)
    existing = {str(file.relative_to(folder)) for file in folder.glob("**/*.md")}
    config.nav = complete_nav(config.nav or [], existing | set(GENERATED))
    return config


def complete_nav(nav: list[Any], existing: set[str]) -> list[Any]:
    """The nav with exactly the pages that exist; those that it does not name come last."""
    kept = list(_only(nav, existing))
    named = set(_files_of(kept))
    if forgotten := sorted(existing - named):
        kept.append({"More": forgotten})
    return kept


def _only(entries: list[Any], existing: set[str]) -> Iterator[Any]:
    for entry in entries:
        ((title, value),) = entry.items()
        if isinstance(value, list):
            if children := list(_only(value, existing)):
                yield {title: children}
        elif value in existing:
            yield entry


def _files_of(entries: Iterable[Any]) -> Iterator[str]:
    for entry in entries:
        for value in entry.values():
            yield from _files_of(value) if isinstance(value, list) else [value]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for name, make in GENERATED.items():
        files.append(File.generated(config, name, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML, which browsers draw without a script, and mend links."""
    return mend_links(_MATH.sub(lambda found: formula(found[1]), markdown))


def formula(latex: str) -> str:
    """A block of MathML."""
    return f'<div class="formula">{convert(latex, display="block")}</div>'


def mend_links(markdown: str) -> str:
    """Let links to files of the repository lead to their pages, or be plain text."""

    def mend(found: re.Match[str]) -> str:
        target, _, anchor = found[2].partition("#")
        page = REPOSITORY_FILES.get(f"../{target}")
        return f"[{found[1]}]({page}{'#' + anchor if anchor else ''})" if page else found[1]

    return _OUTSIDE.sub(mend, markdown)


def changelog_page() -> str:
    """CHANGELOG.md."""
    return _from_root("CHANGELOG.md")


def contributing_page() -> str:
    """CONTRIBUTING.md."""
    return _from_root("CONTRIBUTING.md")


def _from_root(name: str) -> str:
    return _FROM_ROOT.sub(r"](\1)", (ROOT / name).read_text())


def settings_page() -> str:
    """Every setting with its default and description."""
    lines = [
        "# Settings",
        "",
        "Settings come from the environment or from a file `.env` in the folder where the service "
        "starts; `crowdlab settings` prints all of them as such a file. Those marked *secret* can "
        "be in a file of their own: `NAME_FILE` is its path, as for secrets that Docker or "
        "Kubernetes mount. `NAME` itself, unless empty, comes before it.",
        "",
        "| setting | default | meaning |",
        "|---|---|---|",
    ]
    for field, info in Settings.model_fields.items():
        is_secret = info.annotation is SecretStr
        default = "" if is_secret or info.default_factory else str(info.default)
        shown = f"`{default}`" if default else "*secret*" if is_secret else ""
        lines.append(f"| `{environment_name(field)}` | {shown} | {_cell(info.description or '')} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Every command with its arguments and options."""
    group: Any = get_command(commands)
    lines = [
        "# The command line",
        "",
        "`crowdlab COMMAND --help` says the same on the terminal. Commands that print a table "
        "take `--json`. Exit code 0 is success, 1 an error that is explained, 2 wrong usage.",
    ]
    for name, command in sorted(group.commands.items()):
        help_text = re.sub(r"\s*\n\s*", "\n", command.help or "").replace("\n", " ")
        arguments = [one for one in command.params if one.param_type_name == "argument"]
        options = [
            one for one in command.params if one.param_type_name == "option" and one.name != "help"
        ]
        words = [f"crowdlab {name}", *(_argument(one) for one in arguments)]
        usage = " ".join(words) + (" [OPTIONS]" if options else "")
        lines += ["", f"## {name}", "", "```text", usage, "```", "", help_text]
        if options or arguments:
            lines += ["", "| argument or option | meaning |", "|---|---|"]
            lines += [f"| `{_argument(one)}` | {_cell(one.help or '')} |" for one in arguments]
            lines += [f"| {_flags(one)} | {_cell(one.help or '')} |" for one in options]
    return "\n".join(lines) + "\n"


def _argument(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _flags(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    kind = option.type_descriptor.annotation
    is_choice = isinstance(kind, type) and issubclass(kind, Enum)
    value = "" if option.is_flag else " CHOICE" if is_choice else " VALUE"
    text = ", ".join(f"`{name}{value}`" for name in names)
    choices = ", ".join(f"`{one.value}`" for one in kind) if is_choice else ""
    return f"{text}: {choices}" if choices else text


def api_page() -> str:
    """Every endpoint with its parameters and answers."""
    document = openapi_document()
    lines = [
        "# The API",
        "",
        "The running service describes it at `/api/docs`, and to programs at `/api/openapi.json`. "
        "With `BASIC_AUTH_USER` or `CROWDLAB_API_TOKEN` set it asks for those credentials. "
        'Refusals are `{"error": …}` with a status of 400 or more.',
    ]
    for path, item in document["paths"].items():
        for method in ("get", "post", "put", "patch", "delete"):
            if operation := item.get(method):
                lines += _operation(method, path, operation)
    lines += ["", "## Objects", "", "What is asked and answered, as JSON."]
    for name, schema in sorted(document["components"]["schemas"].items()):
        lines += _object(name, schema)
    return "\n".join(lines) + "\n"


def openapi_document() -> JSON:
    """The OpenAPI document, asked of the application itself; nothing is connected to."""
    settings = load_settings(redis_url="redis://localhost", basic_auth_user="", api_token="")
    service = Service(settings, Redis.from_url("redis://localhost"))
    found: JSON = create_app(service).test_client().get("/api/openapi.json").get_json()
    return found


def _operation(method: str, path: str, operation: JSON) -> Iterator[str]:
    yield from ("", f"## {method.upper()} `{path}`", "", str(operation.get("summary", "")))
    if description := operation.get("description"):
        yield from ("", description)
    if parameters := operation.get("parameters"):
        yield from ("", "| parameter | in | type | meaning |", "|---|---|---|---|")
        for one in parameters:
            kind = _kind(one.get("schema", {}))
            meaning = _cell(one.get("description") or one.get("schema", {}).get("description", ""))
            yield f"| `{one['name']}` | {one['in']} | {kind} | {meaning} |"
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        yield from ("", f"Body: {media}, {_kind(body.get('schema', {}))}.")
    for status, answer in sorted(operation.get("responses", {}).items()):
        if status.startswith("2"):
            kinds = [_kind(one.get("schema", {})) for one in answer.get("content", {}).values()]
            yield from ("", f"Answer {status}: {', '.join(dict.fromkeys(kinds)) or 'no content'}.")


def _object(name: str, schema: JSON) -> Iterator[str]:
    yield from ("", f"### {name}", "", _cell(schema.get("description", "")))
    if properties := schema.get("properties"):
        yield from ("", "| field | type | meaning |", "|---|---|---|")
        for field, one in properties.items():
            yield f"| `{field}` | {_kind(one)} | {_cell(one.get('description', ''))} |"


def _kind(schema: JSON) -> str:
    if reference := schema.get("$ref"):
        name = reference.rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if values := schema.get("enum"):
        return ", ".join(f"`{value}`" for value in values)
    if several := schema.get("anyOf", schema.get("allOf")):
        return " or ".join(_kind(one) for one in several)
    if items := schema.get("items"):
        return f"list of {_kind(items)}"
    return str(schema.get("type", "any"))


def _cell(text: str) -> str:
    """Text that may stand in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


GENERATED: dict[str, Callable[[], str]] = {
    "settings.md": settings_page,
    "cli.md": cli_page,
    "api.md": api_page,
    "changelog.md": changelog_page,
    "contributing.md": contributing_page,
}
"""Pages that are made while the site is built, by file name."""
