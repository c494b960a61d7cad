"""Stands in for docker: what a page runs in a container is run here as a process, with that service's settings.

The file in PRETEND_ENGINE says where: the folder of this world, and each service's environment and program. Whatever an engine
does besides (images, networks, volumes) is not looked at here; `make containers` does that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

WORLD = json.loads(Path(os.environ["PRETEND_ENGINE"]).read_text())
PLACE = Path(WORLD["folder"])
SERVICES: dict[str, dict[str, dict[str, str] | list[str]]] = WORLD["services"]
ROLES = [name for name in ("web", "worker", "bot", "archivist") if name in SERVICES]
WITH_A_VALUE = {"--tail", "--since", "-w", "-u", "-v", "--scale", "--entrypoint"}
HEALTHY_WITHIN = 90


def main(words: list[str]) -> int:
    if words[0] == "compose":
        return compose(words[1], words[2:])
    if words[0] == "run":
        options, (image, *command) = apart(words[1:])
        assert image == "limner:local", image
        return process("limner", command, "cli", where=folder_of(options))
    if words[0] == "stats":
        print("\n".join(f"{role} {pid}" for role, pid in running().items()))
        return 0
    print(f"this stands in for docker, and knows no {words[0]}", file=sys.stderr)
    return 1


def compose(verb: str, rest: list[str]) -> int:
    options, names = apart(rest)
    if verb in ("exec", "run"):
        service, *command = names
        program = SERVICES[service]["program"] if verb == "run" else []
        (program, *command) = [*program, *command]
        return process(program, command, service, where=folder_of(options), behind=options.get("-v", ""))
    assert all(name in SERVICES for name in names), names
    if verb in ("stop", "restart"):
        stop(names)
    if verb == "up":
        assert process("limner", ["migrate"], "migrate", stay=True) == 0
    if verb in ("up", "restart"):
        return start([name for name in names or ROLES if name in ROLES])
    if verb == "ps":
        print("\n".join(f"{role} up" for role in running() if not names or role in names))
    if verb == "logs":
        for name in names:
            print(log(name).read_text() if log(name).exists() else "", end="")
    return 0


def apart(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options before the first word that is none, and the rest."""
    options: dict[str, str] = {}
    rest = list(words)
    while rest and rest[0].startswith("-"):
        name = rest.pop(0)
        options[name] = rest.pop(0) if name in WITH_A_VALUE else ""
    return options, rest


def folder_of(options: dict[str, str]) -> str:
    """Where `-w` leads through the volume."""
    host, _, inside = options.get("-v", "").partition(":")
    return host if host and options.get("-w") == inside.removesuffix(":ro") else "."


def process(
    program: str, words: list[str], service: str, *, where: str = ".", behind: str = "", stay: bool = False
) -> int:
    host, _, inside = behind.partition(":")
    words = [host if inside and word == inside else word for word in words]
    environment = os.environ | SERVICES[service]["environment"]  # type: ignore[operator]
    if stay:
        return subprocess.run([program, *words], cwd=where, env=environment, check=False).returncode
    os.chdir(where)
    os.execvpe(program, [program, *words], environment)


def start(names: list[str]) -> int:
    for name in set(names) - set(running()):
        with log(name).open("ab") as output:
            child = subprocess.Popen(
                ["limner", name], cwd=PLACE, env=os.environ | SERVICES[name]["environment"],  # type: ignore[operator]
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        (PLACE / f"{name}.pid").write_text(str(child.pid))
    until = time.monotonic() + HEALTHY_WITHIN
    for name in names:
        while process("limner", ["health", name], name, stay=True):
            if time.monotonic() > until:
                print(f"{name} is not healthy:\n{log(name).read_text()[-2000:]}", file=sys.stderr)
                return 1
            time.sleep(0.2)  # as a health check does: there is no event to wait for
    return 0


def stop(names: list[str]) -> None:
    asked = [name for name in running() if name in names]
    for name in asked:
        os.kill(running()[name], signal.SIGTERM)
    until = time.monotonic() + HEALTHY_WITHIN
    while set(asked) & set(running()) and time.monotonic() < until:
        time.sleep(0.05)
    for name in names:
        (PLACE / f"{name}.pid").unlink(missing_ok=True)


def running() -> dict[str, int]:
    found = {path.stem: int(path.read_text()) for path in PLACE.glob("*.pid")}
    return {name: pid for name, pid in found.items() if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def log(name: str) -> Path:
    return PLACE / f"{name}.log"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
