"""The house rules, as tests: layout, one-way imports, statements that prepare, documents that cannot lie."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import click
import pytest
from pydantic import SecretStr

from limner.runtime.cli import commands as cli
from limner.runtime.config import Config, secret_fields, setting_name

ROOT = Path(__file__).parents[1]
ROOMS = ("runtime", "sql", "actors", "http")
MAY_IMPORT = {
    "runtime": {"runtime"}, "sql": {"runtime", "sql"}, "actors": {"runtime", "sql", "actors"},
    "http": {"runtime", "sql", "http"},
}  # fmt: skip
BROAD_EXCEPTS = {"runtime/supervisor.py", "http/middleware.py"}
DRAWERS = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "service"}


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            yield room, path, ast.parse(path.read_text(encoding="utf-8"))


def test_the_folder_http_never_shadows_the_standard_library():
    assert not (ROOT / "http" / "__init__.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_one_way(room):
    for name, path, tree in modules():
        for node in ast.walk(tree) if name == room else ():
            imported = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            imported += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for target in imported:
                if target.startswith("limner."):
                    assert target.split(".")[1] in MAY_IMPORT[room], f"{path.relative_to(ROOT)} imports {target}"


def test_broad_excepts_live_in_the_supervisor_and_on_the_error_page():
    for _, path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ExceptHandler):
                names = (
                    {each.id for each in ast.walk(node.type) if isinstance(each, ast.Name)} if node.type else {"bare"}
                )
                broad = names & {"Exception", "BaseException", "bare"}
                raises = any(isinstance(each, ast.Raise) and each.exc is None for each in ast.walk(node))
                where = str(path.relative_to(ROOT))
                assert not broad or where in BROAD_EXCEPTS or raises, f"{where}:{node.lineno}"


def test_there_are_no_drawers():
    for _, path, _ in modules():
        assert not DRAWERS & set(path.relative_to(ROOT).with_suffix("").parts), path


def test_every_module_says_in_one_sentence_what_it_is():
    for _, path, tree in modules():
        doc = ast.get_docstring(tree)
        assert doc, f"{path} has no docstring"
        assert doc.splitlines()[0].rstrip().endswith((".", "?")), f"{path}: {doc.splitlines()[0]!r}"


def test_no_statement_is_put_together_inside_a_function():
    """Statements are constants. What goes into them goes in as an argument."""
    asking = {"fetch", "fetchrow", "fetchval", "execute"}
    for _, path, tree in modules():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in asking
                and node.args
            ):
                assert not isinstance(node.args[0], ast.JoinedStr | ast.BinOp), (
                    f"{path.relative_to(ROOT)}:{node.lineno}"
                )


def statements() -> Iterator[tuple[str, str]]:
    for room in ("runtime", "sql"):
        package = importlib.import_module(f"limner.{room}")
        for info in pkgutil.iter_modules(package.__path__, f"limner.{room}."):
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if (
                    name.isupper()
                    and isinstance(value, str)
                    and re.match(r"\s*(with|select|insert|update|delete)\s", value)
                ):
                    yield f"{info.name}.{name}", value


async def test_every_statement_prepares_against_the_migrated_schema(dsn):
    connection = await asyncpg.connect(dsn)
    found = list(statements())
    try:
        for name, sql in found:
            try:
                await connection.prepare(sql)
            except asyncpg.PostgresError as error:
                pytest.fail(f"{name}: {error}")
    finally:
        await connection.close()
    assert len(found) > 80


@pytest.mark.parametrize(
    "role", ["limner.http.app", "limner.actors.worker", "limner.sql.seeds", "limner.runtime.cli.commands"]
)
def test_only_the_bot_imports_aiogram(role):
    code = f"import sys, {role}; sys.exit('aiogram' in sys.modules or 'aioboto3' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_the_command_line_imports_no_room():
    rooms = ["limner.sql", "limner.actors", "limner.http"]
    code = f"import sys, limner.runtime.cli.commands; sys.exit(any(room in sys.modules for room in {rooms}))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_what_starts_a_process_loads_no_command():
    """It is imported by the processes that make small copies, too, and would be half of what they take."""
    code = "import sys, limner.runtime.cli.__main__; sys.exit('click' in sys.modules or 'pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False).returncode == 0


def test_every_package_is_in_the_package_map():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    found = {"limner.http"}
    for room in ROOMS:
        found |= {
            "limner." + ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / room).rglob("__init__.py")
        }
    assert listed == found


def setting_row(name: str) -> str:
    """The line of docs/reference/settings.md about a setting."""
    field = Config.model_fields[name]
    default = "" if field.default is None or isinstance(field.default, SecretStr) else field.default
    shown = ",".join(default) if isinstance(default, tuple) else str(default)
    file = " (also `…_FILE`)" if name in secret_fields() else ""
    return f"| `{setting_name(name)}`{file} | {f'`{shown}`' if shown else ''} | {field.description} |"


def test_every_setting_is_documented_as_it_is():
    text = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
    missing = [row for row in map(setting_row, Config.model_fields) if row not in text]
    assert not missing, "\n".join(missing)


def commands(group: click.Group, before: str = "limner") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        elif not command.hidden:
            yield f"{before} {name}"


def test_every_command_is_documented_and_explains_itself():
    text = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    assert not [name for name in commands(cli.main) if f"`{name}" not in text]
    assert all(command.help for command in cli.main.commands.values())


def test_every_local_link_in_the_documents_leads_somewhere():
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 120
