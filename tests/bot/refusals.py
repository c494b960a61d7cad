"""What the bot's menus may be refused: found in the source, from the menus on through all that they call."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FAMILY = ("Refused", "NotFound", "TooMany")
Name = tuple[str, str]
"""A module of sql/, and what is defined in it."""
Reach = dict[str, Name]
"""What a name in a module stands for; of a whole module the second is empty."""


@lru_cache
def modules() -> dict[str, ast.Module]:
    found = {path.stem: ast.parse(path.read_text()) for path in (ROOT / "sql").glob("*.py")}
    return found | {"errors": ast.parse((ROOT / "runtime/errors.py").read_text())}


@lru_cache
def definitions() -> dict[Name, ast.AST]:
    """Functions and classes, and what is assigned to a name."""
    found: dict[Name, ast.AST] = {}
    for module, tree in modules().items():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[module, node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                found[module, node.targets[0].id] = node.value
    return found


def reach(tree: ast.AST) -> Reach:
    found: Reach = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                name = each.asname or each.name
                if node.module == "limner.sql":
                    found[name] = (each.name, "")
                elif node.module.startswith("limner.sql."):
                    found[name] = (node.module.removeprefix("limner.sql."), each.name)
                elif node.module == "limner.runtime.errors":
                    found[name] = ("errors", each.name)
    return found


def named(node: ast.AST, module: str, known: Reach) -> Iterator[Name]:
    """What stands in this piece of source, of all that is defined in sql/."""
    for each in ast.walk(node):
        if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name):
            target = known.get(each.value.id, ("", "-"))
            if not target[1]:
                yield target[0], each.attr
        elif isinstance(each, ast.Name):
            yield known.get(each.id, (module, each.id))


def reached() -> set[Name]:
    menus = [ast.parse(path.read_text()) for path in (ROOT / "actors/bot/menus").glob("*.py")]
    waiting = [name for tree in menus for name in named(tree, "", reach(tree))]
    seen: set[Name] = set()
    while waiting:
        name = waiting.pop()
        if name in definitions() and name not in seen:
            seen.add(name)
            waiting += named(definitions()[name], name[0], reach(modules()[name[0]]))
    return seen


def refusals() -> dict[str, str]:
    """Each sentence, its places filled with a sign of their own, and where it is raised."""
    found = {"There is nothing here, or it is not yours.": "errors"}
    for module, name in reached():
        where, node = f"sql/{module}.py {name}", definitions()[module, name]
        if isinstance(node, ast.ClassDef) and is_refusal(module, name):
            continue  # it is said where it is raised
        for each in ast.walk(node):
            raised = each.exc if isinstance(each, ast.Raise) else each.value if isinstance(each, ast.Return) else None
            call = raised if isinstance(raised, ast.Call) else None
            target = call.func if call is not None else raised
            if isinstance(target, ast.Name):
                known = reach(modules()[module]).get(target.id, (module, target.id))
                if is_refusal(*known):
                    found |= dict.fromkeys(said(call, known, module, node), where)
    return found


def is_refusal(module: str, name: str) -> bool:
    node = definitions().get((module, name))
    if not isinstance(node, ast.ClassDef):
        return False
    if name in FAMILY and module == "errors":
        return True
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return any(is_refusal(*reach(modules()[module]).get(base, (module, base))) for base in bases)


def said(call: ast.Call | None, known: Name, module: str, scope: ast.AST) -> list[str]:
    """What a refusal that is raised there may say."""
    kind = definitions()[known]
    assert isinstance(kind, ast.ClassDef)
    own = next((each for each in kind.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)
    if known[0] == "errors" or own is None:
        return sentences(call.args[0], module, scope) if call and call.args else []
    whole = next(
        each for each in ast.walk(own) if isinstance(each, ast.Call) and ast.unparse(each.func) == "super().__init__"
    )
    spoken = whole.args[0]
    if "__doc__" in ast.unparse(spoken):
        return [str(ast.get_docstring(kind))]
    names = [each.arg for each in own.args.args[1:]]
    if isinstance(spoken, ast.Name) and spoken.id in names:
        given = call.args[names.index(spoken.id)] if call and call.args else own.args.defaults[0]
        return sentences(given, module, scope)
    return sentences(spoken, known[0], own)


def sentences(node: ast.AST, module: str, scope: ast.AST) -> list[str]:
    """Every text that this piece of source may come to; raises where that is not to be seen."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.JoinedStr(values=parts):
            texts = [""]
            for part in parts:
                texts = [text + more for text in texts for more in part_of(part, module, scope)]
            return texts
        case ast.IfExp(body=one, orelse=other):
            return [*sentences(one, module, scope), *sentences(other, module, scope)]
        case ast.Subscript(value=ast.Name(id=name)):
            table = assigned(name, scope)
            assert isinstance(table, ast.Dict)
            return [text for each in table.values for text in sentences(each, module, scope)]
        case ast.Name(id=name):
            own = assigned(name, scope)
            return sentences(own or definitions()[reach(modules()[module]).get(name, (module, name))], module, scope)
    raise AssertionError(f"sql/{module}.py: nobody can see what {ast.unparse(node)} says")


def part_of(part: ast.AST, module: str, scope: ast.AST) -> list[str]:
    """A part of an f-string: a text chosen there, or a sign for what is filled in."""
    if isinstance(part, ast.FormattedValue):
        chosen = part.value
        return sentences(chosen, module, scope) if isinstance(chosen, ast.IfExp) else ["§"]
    return sentences(part, module, scope)


def assigned(name: str, scope: ast.AST) -> ast.AST | None:
    """What a function assigns to a name of its own."""
    for each in ast.walk(scope):
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name) and each.targets[0].id == name:
            return each.value
    return None
