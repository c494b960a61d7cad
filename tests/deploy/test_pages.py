"""The pages: every command of ours, every service and every file that they name exists. tests/docs runs what can be run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml

from limner.runtime.cli import commands as cli
from tests.deploy.conftest import ROOT
from tests.docs.accounts import TRANSCRIPT
from tests.docs.pages import pages

PAGES = [path for path in pages() if str(path.relative_to(ROOT)) not in (TRANSCRIPT, "CHANGELOG.md")]
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
DEPLOYED = {"web", "worker", "bot", "archivist", "migrate"}
"""What Kubernetes calls them: tests/deploy/test_kubernetes.py."""
WITH_A_VALUE = {"--tail", "--since", "--entrypoint", "-s"}
"""Options of Compose; what follows them is no service."""
STOPS = {"|", "<", ">", "&&", ";"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def transcribed(page: Path) -> Iterator[list[str]]:
    """Every command of the transcripts, in words."""
    for language, text in blocks(page):
        if language == "console":
            yield from (shlex.split(line[2:], comments=True) for line in text.splitlines() if line.startswith("$ "))


def mentioned(page: Path) -> Iterator[list[str]]:
    """Every command that the running text names; it may leave out what does not matter there."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for found in re.findall(r"`((?:docker|limner|kubectl)\s[^`]+)`", prose):
        yield shlex.split(" ".join(found.split()))


@each_page
def test_every_file_of_settings_in_yaml_is_yaml(page: Path) -> None:
    for language, text in blocks(page):
        if language == "yaml":
            yaml.safe_load(text)


@each_page
def test_every_command_of_ours_exists_with_its_options(page: Path) -> None:
    for words in transcribed(page):
        for ours in of_limner(words):
            command, rest = known(ours)
            try:
                command.make_context(command.name, rest)
            except click.UsageError as error:
                pytest.fail(f"limner {' '.join(ours)}: {error.format_message()}")
    for words in mentioned(page):
        for ours in of_limner(words):
            known(ours)


@each_page
def test_every_service_and_every_file_of_a_command_is_there(page: Path) -> None:
    for words in (*transcribed(page), *mentioned(page)):
        for word in words:
            if found := re.fullmatch(r"(?:deploy|job)/(\w+)", word):
                assert found[1] in DEPLOYED, word
            elif re.match(r"deploy/|docs/|docker-compose\.yml", word):
                assert (ROOT / word).exists(), word
        if words[:2] == ["docker", "compose"] and len(words) > 2:
            named = {name for name in services(words[2:]) if not name.isupper()}  # ROLE stands for any of them
            assert named <= set(SERVICES), words


def services(words: list[str]) -> list[str]:
    """Those that a command of Compose is about."""
    verb, *rest = until_it_stops(words)
    named: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--scale":
            named.append(rest.pop(0).partition("=")[0])
        elif word in WITH_A_VALUE:
            rest.pop(0)
        elif not word.startswith("-"):
            named.append(word)
            if verb in ("exec", "run"):
                break
    return named


def of_limner(words: list[str]) -> Iterator[list[str]]:
    """The commands of ours in it: after a `limner` that is a program, and after a service that is our image."""
    if words[:3] == ["docker", "compose", "run"] and "--entrypoint" not in words:
        name = services(words[2:])[0]
        entrypoint = SERVICES[name].get("entrypoint", ["limner"])
        yield until_it_stops([*entrypoint[1:], *words[words.index(name) + 1 :]])
    for i, word in enumerate(words):
        before = words[i - 1] if i else "--"
        if word == "limner" and words[i + 1 :] and (before in SERVICES or before == "--" or before.endswith(")")):
            yield until_it_stops(words[i + 1 :])


def until_it_stops(words: list[str]) -> list[str]:
    return words[: next((i for i, word in enumerate(words) if word in STOPS), None)]


def known(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command, and what is left for it."""
    command: click.Command = cli.main
    while isinstance(command, click.Group) and words:
        try:
            _, found, words = command.resolve_command(click.Context(command), list(words))
        except click.UsageError as error:
            pytest.fail(f"limner {' '.join(words)}: {error.format_message()}")
        assert found
        command = found
    return command, list(words)
