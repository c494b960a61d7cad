"""The samples of the page "Order from your own programs" work as they are printed, with the reader's own address in them."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from anyio import to_thread

NODE = shutil.which("node")
CLIENT = """
export default class OpenAI {
  constructor({ baseURL, apiKey }) { Object.assign(this, { baseURL, apiKey }); }
  images = { generate: async (asked) => {
    const headers = { Authorization: `Bearer ${this.apiKey}`, "Content-Type": "application/json" };
    const answer = await fetch(`${this.baseURL}/images/generations`, { method: "POST", headers, body: JSON.stringify(asked) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  } };
}
"""
"""As much of npm's "openai" as the sample uses, for nothing is installed from there to run tests."""


def run(folder: Path, token: str, *command: str) -> str:
    env = os.environ | {"LIMNER_TOKEN": token}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=40)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_curl(folder: Path, token: str, sample: str) -> None:
    answer = orjson.loads(run(folder, token, "sh", "-euc", sample))
    assert (len(answer["data"]), answer["metadata"]["credits"]) == (1, 1)


def by_python(folder: Path, token: str, sample: str) -> None:
    (folder / "sample.py").write_text(sample)
    run(folder, token, sys.executable, "-P", "sample.py")
    assert (folder / "fox.png").read_bytes().startswith(b"\x89PNG")


def by_node(folder: Path, token: str, sample: str) -> None:
    package = folder / "node_modules/openai"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
    (package / "index.js").write_text(CLIENT)
    (folder / "sample.mjs").write_text(sample)
    assert int(run(folder, token, NODE or "node", "sample.mjs")) > 100


@pytest.mark.parametrize(
    ("language", "follow"),
    [
        ("curl", by_curl),
        ("Python", by_python),
        pytest.param(
            "JavaScript",
            by_node,
            marks=pytest.mark.skipif(
                NODE is None, reason="LOUD: no node here, so nobody ran the sample for JavaScript"
            ),
        ),
    ],
)
async def test_it_works_as_printed(
    working, at_work, db, tmp_path, language: str, follow: Callable[[Path, str, str], None]
):
    page = await (await at_work.browser()).get("/api")
    found = re.search(rf'aria-label="Sample for {language}"><code>(.*?)</code>', page.text, re.DOTALL)
    assert found
    sample = html.unescape(found[1])
    assert f"{at_work.url}/v1" in sample
    await to_thread.run_sync(follow, tmp_path, working.token, sample)
    assert await db.fetchval("select count(*) from job where state = 'delivered'") == 1
