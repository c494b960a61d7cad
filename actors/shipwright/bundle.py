"""The bundle: all that an installation without a network needs, in one file, with checksums and a bill of materials."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from limner.actors.shipwright import choices
from limner.actors.shipwright.compose import ComposeFleet
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say

CARRIED = ("docker-compose.yml", "Caddyfile", "deploy", "docs/how-to/install-with-compose.md", "requirements.lock")
"""Files and folders of the clone, besides the images. Neither .env nor secrets."""
CHOICES = "deploy/compose.env.example"
"""What `limner init` makes .env of: in the bundle it names the images that are in the bundle."""
CHOSEN_BY = {
    "web": "APP_IMAGE", "archivist": "OPS_IMAGE", "postgres": "POSTGRES_IMAGE", "caddy": "CADDY_IMAGE",
    "minio": "MINIO_IMAGE", "prometheus": "PROMETHEUS_IMAGE", "grafana": "GRAFANA_IMAGE",
}  # fmt: skip
"""The line of .env that names the image of a service."""
BILL = "sbom.cdx.json"
SUMS = "SHA256SUMS"
READ_ME = """\
Limner, to install without a network:

  sha256sum --check SHA256SUMS
  docker load --input images.tar
  docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/srv" -w /srv {app} init art.example.com --tls internal
  docker compose up -d --no-build --pull never --wait

How to go on: docs/how-to/install-with-compose.md. What is in the image: sbom.cdx.json.
"""


async def bundle(folder: Path, out: Path, say: Say) -> None:
    """Write the file, whole or not at all. Raises Refused, without Docker too."""
    _check(folder, out)
    fleet = ComposeFleet(folder)
    say(Line("bundle.engine", "ok", await fleet.check()))
    by_service = await fleet.portable()
    images = sorted(set(by_service.values()))
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".limner-bundle-") as place:
        await fleet.save(images, Path(place) / "images.tar")
        say(Line("bundle.images", "ok", ", ".join(images)))
        words = _pack(folder, Path(place), out, by_service)
    say(Line("bundle.written", "ok", words))


def _check(folder: Path, out: Path) -> None:
    if out.exists():
        raise Refused(f"--out: {str(out)!r} is there already", field="out")
    missing = [name for name in CARRIED if not (folder / name).exists()]
    if missing:
        raise Refused(
            f"--folder: {str(folder)!r} is no clone of Limner: there is no {missing[0]} in it", field="folder"
        )


def _pack(folder: Path, place: Path, out: Path, by_service: dict[str, str]) -> str:
    (place / BILL).write_text(json.dumps(bill((folder / "requirements.lock").read_text()), indent=1))
    (place / "READ_ME.txt").write_text(READ_ME.format(app=by_service["web"]))
    (place / CHOICES).parent.mkdir()
    shutil.copy(folder / CHOICES, place / CHOICES)
    pins = {CHOSEN_BY[service]: image for service, image in by_service.items() if service in CHOSEN_BY}
    choices.rewrite(place / CHOICES, pins)
    draft = place / "bundle.tar"
    files = _write(draft, folder, place)
    draft.replace(out)
    return f"{out}: {files} files, {out.stat().st_size / 2**20:.0f} MB"


def _write(draft: Path, folder: Path, place: Path) -> int:
    """Returns the number of files, the sums not counted."""
    sums = []
    with tarfile.open(draft, "w") as tar:
        ours = [(name, place / name) for name in (CHOICES, "images.tar", BILL, "READ_ME.txt")]
        for name, path in [*_carried(folder), *ours]:
            sums.append(f"{_digest(path)}  {name}\n")
            tar.add(path, f"limner/{name}", filter=_nobodys)
        text = "".join(sums).encode()
        about = tarfile.TarInfo(f"limner/{SUMS}")
        about.size, about.mode = len(text), 0o644
        tar.addfile(about, io.BytesIO(text))
    return len(sums)


def _carried(folder: Path) -> Iterator[tuple[str, Path]]:
    for name in CARRIED:
        found = [folder / name] if (folder / name).is_file() else sorted((folder / name).rglob("*"))
        named = ((str(path.relative_to(folder)), path) for path in found if path.is_file())
        yield from ((each, path) for each, path in named if each != CHOICES)


def _nobodys(about: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without the names of whoever packed it."""
    about.uid = about.gid = 0
    about.uname = about.gname = "root"
    return about


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bill(lock: str) -> dict[str, Any]:
    """A CycloneDX 1.5 document of what a hashed lock file names."""
    components = [_component(*found) for found in _pinned(lock)]
    tool = {"type": "application", "name": "limner", "bom-ref": "limner"}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": tool},
        "components": components,
        "dependencies": [{"ref": "limner", "dependsOn": [each["bom-ref"] for each in components]}],
    }


def _pinned(lock: str) -> Iterator[tuple[str, str, list[str]]]:
    """Name, version and hashes of each line, which may go on after a backslash."""
    for line in lock.replace("\\\n", " ").splitlines():
        if found := re.match(r"([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;]+)", line):
            yield found[1], found[2], re.findall(r"--hash=sha256:([0-9a-f]{64})", line)


def _component(name: str, version: str, hashes: list[str]) -> dict[str, Any]:
    package = f"pkg:pypi/{re.sub(r'[-_.]+', '-', name).lower()}@{version}"
    sums = [{"alg": "SHA-256", "content": each} for each in hashes]
    return {"type": "library", "bom-ref": package, "name": name, "version": version, "purl": package, "hashes": sums}
