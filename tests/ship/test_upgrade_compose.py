"""Upgrade and rollback of an installation with Compose: what the docker command line is told, and what when it fails."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from limner.actors.shipwright.compose import ComposeFleet, _repository
from limner.runtime.cli import commands as cli
from tests.ship import pretend_docker
from tests.ship.fleet import ROOT, Said

pytestmark = pytest.mark.timeout(240)
OLD, NEW = "ghcr.io/limner/limner:1", "ghcr.io/limner/limner:2"
OLD_HERE, NEW_HERE = "ghcr.io/limner/limner@sha256:" + "1" * 64, "ghcr.io/limner/limner@sha256:" + "2" * 64
OPS, OPS_HERE = "limner-ops:local", "limner-ops:" + "e" * 12
FULL = "FAULT_FULL" in os.environ
ENV = f"# Choices\nDOMAIN=art.example.com\n#APP_IMAGE=limner:local\nAPP_IMAGE={OLD}\nTLS=internal\n"


@dataclass
class Dock:
    """A folder with a compose file, and what the engine was told."""

    place: Path
    folder: Path
    settings: dict[str, str]

    def limner(self, *words: str) -> Said:
        """In this very process: starting one takes longer than all the rest."""
        done = CliRunner(env=self.settings).invoke(cli.main, [*words, "--folder", str(self.folder)])
        return Said(done.exit_code, done.stdout, done.stderr)

    def upgrade(self, *more: str) -> Said:
        return self.limner("upgrade", NEW, "--yes", "--json", "--patience", "5", *more)

    def fails(self, *rules: tuple[str, int]) -> None:
        (self.place / "fails.json").write_text(json.dumps(rules))

    def change(self, **parts: object) -> None:
        (self.place / "world.json").write_text(json.dumps(self.world() | parts))

    def world(self) -> dict:
        return json.loads((self.place / "world.json").read_text())

    def calls(self, *words: str) -> list[dict]:
        """The calls that contain all of these words."""
        lines = [json.loads(line) for line in (self.place / "calls.jsonl").read_text().splitlines()]
        return [line for line in lines if not Counter(words) - Counter(line["words"])]

    def env(self) -> str:
        return (self.folder / ".env").read_text()

    def runs(self) -> set[str]:
        return {image for role, image in self.world()["runs"].items() if role in ("web", "worker", "bot")}


@pytest.fixture
def dock(tmp_path):
    return made(tmp_path)


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory):
    """After an upgrade that went well, and how it ended. Only to be looked at."""
    found = made(tmp_path_factory.mktemp("upgraded"))
    found.change(absent={NEW: ""}, scale={"worker": "3"})
    return found, found.upgrade()


def made(folder: Path) -> Dock:
    place, site, programs = folder / "engine", folder / "site", folder / "bin"
    for each in (place, site, programs):
        each.mkdir()
    (programs / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {pretend_docker.__file__} "$@"\n')
    (programs / "docker").chmod(0o755)
    (site / "docker-compose.yml").write_text("services: {}\n")
    (site / ".env").write_text(ENV)
    (site / ".env").chmod(0o600)
    old, new = "sha256:" + "a" * 64, "sha256:" + "b" * 64
    world = {
        "ids": {OLD: old, OLD_HERE: old, NEW: new, NEW_HERE: new, OPS: "sha256:" + "e" * 64},
        "digests": {OLD: [OLD_HERE], NEW: ["other/mirror@sha256:" + "9" * 64, NEW_HERE]},
        "heads": {OLD: "9", OLD_HERE: "9", NEW: "10", NEW_HERE: "10"}, "absent": {}, "scale": {}, "look": {},
        "runs": dict.fromkeys(("web", "worker", "bot"), OLD) | {"archivist": OPS}, "audit": {},
    }  # fmt: skip
    (place / "world.json").write_text(json.dumps(world))
    (place / "fails.json").write_text("[]")
    (place / "calls.jsonl").touch()
    # APP_IMAGE, as somebody may have exported it, must not count.
    settings = {"PATH": f"{programs}:/usr/bin:/bin", "PRETEND_DOCKER": str(place), "APP_IMAGE": "limner:exported"}
    return Dock(place, site, settings)


def step(call: dict) -> str:
    """What a call is about."""
    words = call["words"]
    if words[:2] == ["compose", "run"]:
        return "rehearsal" if "-d" in words else words[-1] if words[-1] != "--json" else words[-2]
    return words[1] if words[0] == "compose" else words[0]


def steps(dock: Dock) -> list[str]:
    told = ("pull", "preflight-here", "backup", "migrate", "rehearsal", "up")
    found = [step(call) for call in dock.calls() if step(call) in told]
    return [one for number, one in enumerate(found) if not number or found[number - 1] != one]


def test_an_upgrade_pulls_looks_saves_migrates_rehearses_and_only_then_replaces(upgraded):
    dock, said = upgraded
    assert said.code == 1, said.out + said.err  # a warning: the archivist stays behind
    assert said.line("preflight.ops")["state"] == "warn"
    assert steps(dock) == ["pull", "preflight-here", "backup", "migrate", "rehearsal", "up"]


def test_the_new_image_looks_and_migrates_and_the_old_one_saves(upgraded):
    dock, _ = upgraded
    for words, image in (("preflight-here", NEW_HERE), ("migrate migrate", NEW_HERE), ("backup", OLD_HERE)):
        assert {call["app"] for call in dock.calls("run", *words.split())} == {image}, words
    (saved,) = dock.calls("run", "backup")
    assert saved["words"][-3:] == ["archivist", "backup", "--json"]
    assert saved["ops"] == OPS_HERE


def test_every_role_is_replaced_by_its_digest_and_the_choice_is_pinned(upgraded):
    dock, _ = upgraded
    ups = dock.calls("compose", "up")
    assert [call["words"][-1] for call in ups] == ["web", "worker", "bot"]
    assert {call["app"] for call in ups} == {NEW_HERE}
    for call in ups:
        assert {"-d", "--no-deps", "--wait", "--no-build"} <= set(call["words"])
    assert not [call for call in dock.calls() if "restart" in call["words"]]
    assert f"\nAPP_IMAGE={NEW_HERE}\nTLS=internal\n" in dock.env()
    assert dock.env().startswith("# Choices\nDOMAIN=art.example.com\n#APP_IMAGE=limner:local\n")
    assert (dock.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert dock.runs() == {NEW_HERE}


def test_workers_that_were_scaled_stay_so_many(upgraded):
    (up,) = upgraded[0].calls("compose", "up", "worker")
    assert up["words"][up["words"].index("--scale") + 1] == "worker=3"


def test_who_did_what_stands_in_the_audit(upgraded):
    audit = upgraded[0].world()["audit"]
    assert audit["action"] == "release.upgraded"
    assert audit["before"]["images"]["app"] == OLD_HERE
    assert audit["after"]["images"]["app"] == NEW_HERE
    assert (audit["after"]["result"], audit["after"]["backup"]) == ("done", pretend_docker.BACKUP)


def test_releases_lists_what_was_in_service(upgraded):
    dock, _ = upgraded
    found = json.loads((dock.limner("releases", "--json")).out)
    assert (found["current"], [each["images"]["app"] for each in found["sets"]]) == (2, [OLD_HERE, NEW_HERE])
    shown = (dock.limner("releases")).out.splitlines()
    assert [line[0] for line in shown] == [" ", "*"]
    assert f"backup before it {pretend_docker.BACKUP}" in shown[1]


def test_a_second_archivist_image_is_replaced_and_pinned_too(dock):
    said = dock.upgrade("--ops-image", "limner-ops:2")
    assert said.code == 0, said.out
    up = dock.calls("compose", "up")[-1]
    assert up["words"][-1] == "archivist"
    assert up["ops"].startswith("limner-ops:")
    assert up["ops"] != dock.calls("run", "backup")[0]["ops"]
    assert f"OPS_IMAGE={up['ops']}\n" in dock.env()


def test_a_name_that_was_built_anew_since_does_not_hide_what_runs(dock):
    """`docker build -t limner:local .`, then `limner upgrade limner:local`: the way back is by the old one's identity."""
    local = "limner:local"
    ids = {local: "sha256:" + "d" * 64, "limner:former": "sha256:" + "c" * 64}
    dock.change(
        ids=dock.world()["ids"] | ids,
        runs=dock.world()["runs"] | dict.fromkeys(("web", "worker", "bot"), "limner:former"),
    )
    (dock.folder / ".env").write_text(f"APP_IMAGE={local}\n")
    said = dock.limner("upgrade", local, "--yes", "--json")
    assert said.line("upgrade.recorded")["state"] == "ok"
    assert dock.calls("tag", "sha256:" + "c" * 64, "limner:" + "c" * 12)
    book = json.loads((dock.folder / ".limner" / "sets.json").read_text())
    assert [each["images"]["app"] for each in book["sets"]] == ["limner:" + "c" * 12, "limner:" + "d" * 12]


FAILING = [
    (f"run migrate migrate app={NEW_HERE}", "`limner migrate`"),
    (f"run -d web app={NEW_HERE}", "web of"),
    (f"up worker app={NEW_HERE}", "worker | what the service said last"),
    ("compose exec python /", "smoke test: web answers / with nothing"),
    (f"run preflight-here app={NEW_HERE}", "does not run"),
    ("run backup", "the backup failed"),
    ("exec health worker", "worker of"),
    (f"up web app={NEW_HERE}", "web of"),
    (f"up bot app={NEW_HERE}", "bot of"),
    ("compose exec health bot", "smoke test: limner health bot"),
]
SHORT = 4
"""So many of them in the short form."""


@pytest.mark.parametrize(("where", "words"), FAILING if FULL else FAILING[:SHORT])
def test_wherever_it_fails_the_former_set_runs_and_stays_pinned(dock, where, words):
    dock.fails((where, 7))
    said = dock.upgrade()
    assert said.code == 2, said.out + said.err
    assert words in said.line("upgrade.failed")["words"]
    # Once a role was touched, by its digest: a name such as limner:local might mean the new image by now.
    assert f"APP_IMAGE={OLD_HERE if dock.calls('compose', 'up') else OLD}\n" in dock.env()
    assert dock.runs() <= {OLD, OLD_HERE}
    assert dock.world()["audit"]["after"]["result"] == "failed"
    was_saved = pretend_docker.BACKUP in said.line("upgrade.failed")["words"]
    assert was_saved == bool(dock.calls("run", "migrate", "migrate"))
    assert (dock.folder / ".limner" / "deploy.lock").read_text() == ""


def test_when_not_even_the_former_set_comes_back_the_next_one_hears_of_it(dock):
    dock.fails(("up web", 1))
    said = dock.upgrade()
    assert said.line("deploy.put_back")["state"] == "fail"
    assert "NOT every role could be put back" in said.line("upgrade.failed")["words"]
    dock.fails()
    again = dock.limner("rollback", "--json")
    assert again.line("deploy.left_over")["state"] == "warn"
    assert dock.runs() == {OLD_HERE}


def test_an_image_that_is_nowhere_changes_nothing(dock):
    dock.change(absent={NEW: ""})
    dock.fails(("pull", 1))
    said = dock.upgrade()
    assert said.code == 1
    assert said.err.startswith(f"limner: IMAGE: '{NEW}' is neither here nor to be had")
    assert not dock.calls("run")


@pytest.mark.parametrize("missing", ["version", "compose version"])
def test_without_an_engine_or_its_compose_it_says_so(dock, missing):
    dock.fails((missing, 1))
    said = dock.upgrade()
    assert said.code == 1
    assert len(said.err.splitlines()) == 1


def test_a_rollback_takes_the_former_set_and_says_so(dock):
    dock.upgrade()
    (dock.place / "calls.jsonl").write_text("")
    said = dock.limner("rollback", "--json")
    assert said.code == 0, said.out + said.err
    ups = dock.calls("compose", "up")
    assert [call["words"][-1] for call in ups] == ["web", "archivist"]
    assert {call["app"] for call in ups} == {OLD_HERE}
    assert f"APP_IMAGE={OLD_HERE}\n" in dock.env()
    assert dock.world()["audit"]["action"] == "release.rolled_back"
    assert not dock.calls("run", "migrate", "migrate")


def test_a_rollback_that_the_schema_forbids_names_the_commands_of_the_other_way(dock):
    dock.upgrade()
    dock.change(look={"database": pretend_docker.LOOK["database"] | {"schema": 10, "oldest_image": 10}})
    (dock.place / "calls.jsonl").write_text("")
    said = dock.limner("rollback", "--json")
    assert said.code == 1
    assert f"docker compose run --rm restore {pretend_docker.BACKUP} --yes" in said.err
    assert "docker compose stop web worker bot archivist" in said.err
    assert "limner rollback --to 1" in said.err
    assert not dock.calls("compose", "up")
    assert f"APP_IMAGE={NEW_HERE}\n" in dock.env()


def test_an_upgrade_asks_and_no_answer_means_no(dock):
    said = dock.limner("upgrade", NEW)
    assert said.code == 1
    assert not dock.calls("run", "backup")
    assert (dock.limner("upgrade", NEW, "--json")).code == 2  # a program cannot be asked


def test_a_repository_is_found_in_any_reference():
    for image, expected in {
        "limner": "limner", "limner:1": "limner", "host:5000/a/limner:1": "host:5000/a/limner", OLD_HERE: "ghcr.io/limner/limner",
        "host:5000/limner": "host:5000/limner",
    }.items():  # fmt: skip
        assert _repository(image) == expected


COMPOSE = Path(sys.executable).with_name("docker-compose")
"""The real one; no engine is needed to read a file, nor for its help."""
needs_compose = pytest.mark.skipif(
    not COMPOSE.exists(), reason="LOUD: without the real Compose nobody asked it about our words"
)


@needs_compose
@pytest.mark.parametrize("profiles", ["", "backup,ha"])
def test_the_real_compose_tells_the_roles_of_our_file(tmp_path, monkeypatch, profiles):
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    (tmp_path / ".env").write_text(f"DOMAIN=art.example.com\nTLS=internal\nCOMPOSE_PROFILES={profiles}\n")
    monkeypatch.setenv("COMPOSE", str(COMPOSE))
    found = asyncio.run(ComposeFleet(tmp_path).roles())
    assert found == (["web-b", "web", "worker", "bot", "archivist"] if profiles else ["web", "worker", "bot"])


@needs_compose
@pytest.mark.parametrize("verb", ["run", "up", "exec", "ps", "logs", "config"])
def test_the_real_compose_knows_every_flag_that_we_use(upgraded, verb):
    said = subprocess.run([COMPOSE, verb, "--help"], capture_output=True, text=True, check=True).stdout
    calls = upgraded[0].calls("compose", verb)
    ours = {"--json", "--who", "--doing", "-c"}  # these stand behind the service
    flags = {word for call in calls for word in call["words"][1:] if word.startswith("-")} - ours
    assert verb == "logs" or calls
    assert not [flag for flag in flags if not re.search(rf"(^|[\s,]){flag}\b", said)]
