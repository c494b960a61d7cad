"""Which locks a migration takes, read from its SQL: a classifier of the statements that migrations are made of."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

HARMLESS = r"(create|alter|drop) (or replace )?(sequence|type|extension|schema|function|procedure|role|domain)"
NAME = r'(?:only )?(?:if (?:not )?exists )?(?:only )?([\w."]+)'
TOKEN = re.compile(
    r"(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<text>'(?:[^']|'')*')|(?P<body>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<end>;)",
    re.DOTALL,
)
SHARE_ROW, ACCESS, UPDATE = "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"
ROW, SHARE, READ, UNKNOWN = "ROW EXCLUSIVE", "SHARE", "ACCESS SHARE", "unknown"
STRENGTH = ("", READ, ROW, UPDATE, SHARE, SHARE_ROW, ACCESS, UNKNOWN)
"""From the weakest to the strongest. From SHARE on writers wait, at ACCESS EXCLUSIVE readers too."""
VOLATILE = ("random()", "clock_timestamp()", "gen_random_uuid()", "uuidv7()", "uuidv4()", "nextval(", "timeofday()")


@dataclass(frozen=True)
class Step:
    """One statement: the lock it takes on ``table``, and whether it reads (``scans``) or writes (``rewrites``) all of it.

    ``lock`` is "" for what locks no table, and "unknown" for what is not understood here.
    """

    lock: str
    table: str
    words: str
    scans: bool = False
    rewrites: bool = False

    @property
    def stops(self) -> str:
        """Who waits meanwhile: "readers and writers", "writers", or ""."""
        if self.lock in (ACCESS, UNKNOWN):
            return "readers and writers"
        return "writers" if self.lock in (SHARE, SHARE_ROW) else ""


def steps(sql: str) -> list[Step]:
    """The statements that touch tables which were there before, in order; a table made here is nobody's yet."""
    made: set[str] = set()
    found = []
    for statement in statements(sql):
        if new := re.match(rf"create (?:unlogged )?table {NAME}", statement):
            made.add(_plain(new[1]))
        found += [step for step in _classify(statement) if step.lock and step.table not in made]
    return found


def statements(sql: str) -> Iterator[str]:
    """Each statement in lower case with single blanks; comments, texts and bodies of functions are left out."""
    flat = TOKEN.sub(lambda part: "" if part["comment"] else "\0" if part["end"] else "''", sql)
    for statement in flat.split("\0"):
        if words := " ".join(statement.lower().split()):
            yield words


def _classify(statement: str) -> Iterator[Step]:
    for pattern, rule in RULES:
        if found := re.match(pattern, statement):
            yield from rule(statement, found)
            return
    yield Step(UNKNOWN, "", _short(statement))


def _plain(name: str) -> str:
    return name.replace('"', "").removeprefix("public.")


def _short(statement: str) -> str:
    return statement if len(statement) <= 90 else statement[:87] + "…"


def _takes(lock: str, *, scans: bool = False, rewrites: bool = False) -> Rule:
    def rule(statement: str, found: re.Match[str]) -> Iterator[Step]:
        yield Step(lock, _plain(found[1]), _short(statement), scans, rewrites)

    return rule


def _nothing(statement: str, found: re.Match[str]) -> Iterator[Step]:
    yield from ()


def _with(statement: str, found: re.Match[str]) -> Iterator[Step]:
    """What each of its parts writes into; "for update" and "do update" are no parts."""
    written = r"(?<!for )(?<!key )(?<!do )\b(?:insert into|update|delete from) (?:only )?([\w.\"]+)"
    for table in dict.fromkeys(re.findall(written, statement)):
        yield Step(ROW, _plain(table), _short(statement))


def _create_table(statement: str, found: re.Match[str]) -> Iterator[Step]:
    for other in dict.fromkeys(re.findall(r"references ([\w.\"]+)", statement)):
        yield Step(SHARE_ROW, _plain(other), f"create table {_plain(found[1])}, which references {_plain(other)}")


def _alter_table(statement: str, found: re.Match[str]) -> Iterator[Step]:
    table = _plain(found[1])
    for action in _actions(statement[found.end() :].strip()):
        fitting = (rule for rule in ACTIONS if re.match(rule[0], action))
        _, lock, scans, rewrites = next(fitting, ("", UNKNOWN, False, False))
        if action.startswith("add ") and _is_computed(action):
            scans = rewrites = True
        scans = scans and "not valid" not in action and "using index" not in action
        yield Step(lock, table, _short(f"alter table {table} {action}"), scans, rewrites)
        if other := re.search(r"references ([\w.\"]+)", action):
            yield Step(SHARE_ROW, _plain(other[1]), _short(f"alter table {table} {action}"), scans)


def _actions(text: str) -> list[str]:
    """What stands between the commas, apart from those inside parentheses."""
    parts, depth = [""], 0
    for sign in text:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _is_computed(action: str) -> bool:
    """A new column whose value differs from row to row has to be written into every row."""
    default = action.partition(" default ")[2]
    return (
        bool(re.search(r"\b(big|small)?serial\b|generated (always|by default) as (identity|.*stored)", action))
        or " stored" in action
        or any(call in default for call in VOLATILE)
    )


# The first that fits, for one action of alter table: pattern, lock, reads all rows, writes all rows.
ACTIONS: tuple[tuple[str, str, bool, bool], ...] = (
    (r"validate constraint", UPDATE, True, False),
    (r"(add|alter column|alter) .*\bset statistics", UPDATE, False, False),
    (r"(set|reset) \(", UPDATE, False, False),
    (r"(cluster on|set without cluster)", UPDATE, False, False),
    (r"add (constraint [\w\"]+ )?foreign key", SHARE_ROW, True, False),
    (r"(enable|disable) trigger", SHARE_ROW, False, False),
    (r"add (constraint [\w\"]+ )?check", ACCESS, True, False),
    (r"add (constraint [\w\"]+ )?(unique|primary key|exclude)", ACCESS, True, False),
    (r"add (column )?(if not exists )?[\w\"]+ .*\breferences\b", ACCESS, False, False),
    (r"add (column )?(if not exists )?[\w\"]+ ", ACCESS, False, False),
    (r"alter (column )?[\w\"]+ (set data )?type", ACCESS, True, True),
    (r"alter (column )?[\w\"]+ set not null", ACCESS, True, False),
    (r"alter (column )?[\w\"]+ (set|drop|add|reset|restart)", ACCESS, False, False),
    (r"set (logged|unlogged|tablespace|access method)", ACCESS, True, True),
    (r"(drop|rename|owner to|set schema|inherit|no inherit|replica identity|attach|detach)", ACCESS, False, False),
    (r"(enable|disable|force|no force) row level security", ACCESS, False, False),
)

Rule = Callable[[str, re.Match[str]], Iterator[Step]]
RULES = (
    (rf"create (?:unlogged )?table {NAME}", _create_table),
    (rf"create (?:unique )?index concurrently (?:if not exists )?(?:[\w\"]+ )?on {NAME}", _takes(UPDATE, scans=True)),
    (rf"create (?:unique )?index (?:if not exists )?(?:[\w\"]+ )?on {NAME}", _takes(SHARE, scans=True)),
    (rf"create (?:or replace )?(?:constraint )?trigger [\w\"]+ .*? on {NAME}", _takes(SHARE_ROW)),
    (rf"create or replace view {NAME}", _takes(ACCESS)),
    (r"create view ", _nothing),
    (HARMLESS, _nothing),
    (r"comment on column ([\w.\"]+)\.[\w\"]+ is", _takes(UPDATE)),
    (rf"comment on table {NAME}", _takes(UPDATE)),
    (r"comment on ", _nothing),
    (rf"alter table {NAME}", _alter_table),
    (rf"drop trigger (?:if exists )?[\w\"]+ on {NAME}", _takes(ACCESS)),
    (r"drop index concurrently (?:if exists )?()", _takes(UPDATE)),
    (r"drop index (?:if exists )?()", _takes(ACCESS)),
    (rf"drop (?:table|view|materialized view) {NAME}", _takes(ACCESS)),
    (rf"truncate (?:table )?{NAME}", _takes(ACCESS, rewrites=True)),
    (rf"(?:vacuum full|cluster) {NAME}", _takes(ACCESS, scans=True, rewrites=True)),
    (rf"insert into {NAME}", _takes(ROW)),
    (rf"update {NAME}", _takes(ROW)),
    (rf"delete from {NAME}", _takes(ROW)),
    (r"with (recursive )?[\w\"]+ ", _with),
    (rf"lock table {NAME}", _takes(ACCESS)),
    (r"(select|set|reset|grant|revoke|analyze) ", _nothing),
)
