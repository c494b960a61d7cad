"""The bundle: whole, checked, without secrets, and a bill of all that is in the image."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile

import pytest

from limner.actors.shipwright.bundle import CARRIED, bill
from tests.ship import pretend_docker
from tests.ship.fleet import ROOT, Harbour


@pytest.fixture
def clone(tmp_path):
    """A clone with an installation in it, and an engine."""
    folder, programs, engine = (tmp_path / name for name in ("clone", "bin", "engine"))
    for made in (folder, programs, engine):
        made.mkdir()
    for name in CARRIED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / ".env").write_text("APP_IMAGE=limner:7\nCANARY=canary-of-env\n")
    (folder / "secrets").mkdir()
    (folder / "secrets" / "vault_keys").write_text("canary-of-secrets")
    (programs / "docker").write_text(f'#!/bin/sh\nexec {sys.executable} -I -S {pretend_docker.__file__} "$@"\n')
    (programs / "docker").chmod(0o755)
    world = {"ids": {}, "digests": {}, "heads": {}, "absent": {}, "scale": {}, "look": {}, "audit": {},
             "runs": {"web": "limner:7", "archivist": "limner-ops:local"}}  # fmt: skip
    (engine / "world.json").write_text(json.dumps(world))
    (engine / "fails.json").write_text("[]")
    return Harbour(folder, "", {"PATH": f"{programs}:/usr/bin:/bin", "PRETEND_DOCKER": str(engine)}, tmp_path)


async def test_a_bundle_holds_the_images_the_files_their_sums_and_no_secret(clone, tmp_path):
    out = tmp_path / "limner.tar"
    said = await clone.limner("bundle", "--out", str(out), "--folder", str(clone.folder), "--json")
    assert said.code == 0, said.out + said.err
    with tarfile.open(out) as tar:
        tar.extractall(tmp_path / "there", filter="data")
    there = tmp_path / "there" / "limner"
    assert (
        subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=there, check=False).returncode
        == 0
    )
    listed = {line.split("  ", 1)[1] for line in (there / "SHA256SUMS").read_text().splitlines()}
    found = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
    assert found == listed | {"SHA256SUMS"}
    assert {"docker-compose.yml", "Caddyfile", "images.tar", "sbom.cdx.json", "READ_ME.txt"} <= found
    assert "limner:7" in (there / "images.tar").read_text()
    assert "postgres:18" in (there / "images.tar").read_text()
    assert "init art.example.com" in (there / "READ_ME.txt").read_text()
    assert b"canary" not in out.read_bytes()


async def test_an_installation_from_a_bundle_runs_the_images_in_it(clone, tmp_path):
    """All of them, the archivist's too; by a tag, since an image that is loaded from a file has no digest."""
    pinned = "ghcr.io/limner/limner@sha256:" + "7" * 64
    (clone.folder / ".env").write_text(f"APP_IMAGE={pinned}\nOPS_IMAGE=limner-ops:7\n")
    world = json.loads((tmp_path / "engine" / "world.json").read_text())
    (tmp_path / "engine" / "world.json").write_text(json.dumps(world | {"ids": {pinned: "sha256:" + "d" * 64}}))
    said = await clone.limner("bundle", "--out", str(tmp_path / "limner.tar"), "--folder", str(clone.folder))
    assert said.code == 0, said.out + said.err
    with tarfile.open(tmp_path / "limner.tar") as tar:
        tar.extractall(tmp_path / "there", filter="data")
    there = tmp_path / "there" / "limner"
    made = await clone.limner("init", "art.example.com", "--tls", "internal", "--folder", str(there))
    assert made.code == 0, made.err
    chosen = dict(re.findall(r"^(\w+_IMAGE)=(.*)$", (there / ".env").read_text(), re.MULTILINE))
    app = "ghcr.io/limner/limner:" + "d" * 12
    assert (chosen["APP_IMAGE"], chosen["OPS_IMAGE"], chosen["POSTGRES_IMAGE"]) == (app, "limner-ops:7", "postgres:18")
    saved = (there / "images.tar").read_text()
    assert "@sha256:" not in saved
    assert not [image for image in chosen.values() if image not in saved]
    assert f"{app} init art.example.com" in (there / "READ_ME.txt").read_text()


async def test_a_bundle_that_fails_leaves_nothing(clone, tmp_path):
    (tmp_path / "engine" / "fails.json").write_text('[["save", 1]]')
    said = await clone.limner("bundle", "--out", str(tmp_path / "limner.tar"), "--folder", str(clone.folder))
    assert said.code == 1
    assert not (tmp_path / "limner.tar").exists()
    assert not list(tmp_path.glob(".limner-bundle-*"))


async def test_without_docker_or_in_the_wrong_place_it_refuses_in_one_line(clone, tmp_path):
    words = ("bundle", "--out", str(tmp_path / "limner.tar"), "--folder")
    (tmp_path / "bin" / "docker").unlink()
    clone.settings["PATH"] = str(tmp_path / "bin")
    without, wrong = await clone.limner(*words, str(clone.folder)), await clone.limner(*words, str(tmp_path / "bin"))
    assert (without.code, without.err) == (1, "limner: there is no program 'docker' here\n")
    assert wrong.err.startswith("limner: --folder: ")


async def test_what_is_there_is_not_written_over(clone, tmp_path):
    (tmp_path / "limner.tar").write_text("mine")
    said = await clone.limner("bundle", "--out", str(tmp_path / "limner.tar"), "--folder", str(clone.folder))
    assert said.err.startswith("limner: --out: ")
    assert (tmp_path / "limner.tar").read_text() == "mine"


def test_the_bill_names_every_package_of_the_lock_with_its_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    names = re.findall(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?==", lock, re.MULTILINE)
    made = bill(lock)
    assert [each["name"] for each in made["components"]] == names
    assert sum(len(each["hashes"]) for each in made["components"]) == lock.count("--hash=sha256:")
    refs = [each["bom-ref"] for each in made["components"]]
    assert len(set(refs)) == len(refs)
    assert made["dependencies"][0]["dependsOn"] == refs
    assert hashlib.sha256().digest_size * 2 == len(made["components"][0]["hashes"][0]["content"])
    found = next(each for each in made["components"] if each["name"] == "aiohttp")
    assert found["purl"] == f"pkg:pypi/aiohttp@{found['version']}"
