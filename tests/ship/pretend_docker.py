"""Stands in for the docker command line: notes every call, keeps a little world of containers, fails where it is told to.

The folder in PRETEND_DOCKER holds ``world.json``, ``calls.jsonl``, and ``fails.json``: a list of [words, code], where all words
must stand in the call or in its images.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter
from pathlib import Path

PLACE = Path(os.environ.get("PRETEND_DOCKER", "."))
SERVICES = ("postgres", "migrate", "web", "worker", "bot", "archivist", "caddy")
BACKUP = "20261123-063600-1a2b3c"
LOOK = {
    "head": 10,
    "client": "18.6",
    "mistakes": [],
    "trouble": "",
    "pending": [],
    "sizes": {},
    "database": {"version": 180006, "folder": "", "schema": 9, "oldest_image": 9},
}


def main(words: list[str]) -> int:
    note(words)
    if found := failing(words):
        print(f"Error: {' '.join(words[:4])} failed, said the engine", file=sys.stderr)
        return found
    if words[0] == "compose":
        return compose(words[1:])
    return engine(words)


def note(words: list[str]) -> None:
    line = {"words": words, "app": os.environ.get("APP_IMAGE"), "ops": os.environ.get("OPS_IMAGE")}
    with (PLACE / "calls.jsonl").open("a") as calls:
        calls.write(json.dumps(line) + "\n")


def failing(words: list[str]) -> int:
    """The exit code of the rule that fits; 0 when none does."""
    said = [*words, f"app={os.environ.get('APP_IMAGE')}"]
    for rule in json.loads((PLACE / "fails.json").read_text()):
        if not Counter(rule[0].split()) - Counter(said):
            return int(rule[1])
    return 0


def world() -> dict[str, dict[str, str]]:
    return json.loads((PLACE / "world.json").read_text())


def change(**parts: dict[str, str]) -> None:
    (PLACE / "world.json").write_text(json.dumps(world() | parts))


def choice(name: str, usual: str) -> str:
    """From the environment, else from .env, as Compose does it."""
    if name in os.environ:
        return os.environ[name]
    found = re.findall(rf"^{name}=(.*)$", Path(".env").read_text(), re.MULTILINE)
    return found[-1] if found else usual


def image_of(service: str) -> str:
    if service in ("postgres", "caddy"):
        return f"{service}:18"
    usual = "limner-ops:local" if service == "archivist" else "limner:local"
    return choice("OPS_IMAGE" if service == "archivist" else "APP_IMAGE", usual)


def identity(image: str) -> str:
    """Two names of one image share it: a tag of twelve digits is the beginning of the identity."""
    tag = image.rpartition(":")[2]
    known = [each for each in world()["ids"].values() if each.removeprefix("sha256:").startswith(tag)]
    return world()["ids"].get(image) or (known[0] if known else "sha256:" + hashlib.sha256(image.encode()).hexdigest())


def compose(words: list[str]) -> int:
    verb, rest = words[0], words[1:]
    if verb == "version":
        print("2.39.1")
    elif verb == "config":
        print(json.dumps({"services": {name: {"image": image_of(name)} for name in SERVICES}}))
    elif verb == "ps":
        print("\n".join(f"c-{rest[-1]}-{number}" for number in range(int(world()["scale"].get(rest[-1], "1")))))
    elif verb == "up":
        names = [word for word in rest if word in SERVICES]
        change(runs=world()["runs"] | {name: image_of(name) for name in names})
    elif verb == "exec":
        print("200" if "python" in rest else "web: healthy")
    elif verb == "run":
        return once(rest)
    elif verb == "logs":
        print(f"{rest[-1]} | what the service said last")
    return 0


def once(words: list[str]) -> int:
    command = [word for word in words if word in ("preflight-here", "deploy-guard", "backup", "migrate", "restore")][
        -1:
    ]
    if command == ["preflight-here"]:
        print(json.dumps(LOOK | world()["look"]))
    elif command == ["deploy-guard"]:
        print(json.dumps({"held": True}), flush=True)
        if told := sys.stdin.readline():
            change(audit=json.loads(told))
            print(json.dumps({"recorded": True}))
    elif command == ["backup"]:
        made = {
            "code": "backup.made",
            "state": "ok",
            "words": f"{BACKUP} in the folder backups, after 2.0 s",
            "fix": "",
        }
        print(json.dumps({"verdict": 0, "lines": [made]}))
    elif command == ["migrate"]:
        print("schema 9 -> 10")
    return 0


def engine(words: list[str]) -> int:
    verb, form, last = words[0], " ".join(words), words[-1]
    if verb == "version":
        print("28.2.2")
    elif "Labels" in form:
        print(world()["heads"].get(last, "9"))
    elif "RepoDigests" in form:
        print(identity(last), json.dumps(world()["digests"].get(last)))
    elif "{{.Id}}" in form:
        if last in world()["absent"]:
            return 1
        print(identity(last))
    elif verb == "pull":
        change(absent={name: "" for name in world()["absent"] if name != last})
    elif "{{.Image}}" in form:
        print(identity(world()["runs"][last.split("-")[1]]))
    elif "{{.State" in form:
        print("running 0")
    elif verb == "logs":
        print("what the container said last")
    elif verb == "save":
        Path(words[words.index("--output") + 1]).write_bytes(b"layers of " + " ".join(words[3:]).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
