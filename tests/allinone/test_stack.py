"""supervisord and everything below it start together, and nothing of them is left, however they end."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import pytest

from limner.runtime import allinone
from limner.runtime.config import Config
from limner.runtime.errors import WRONG_SETTINGS, Hopeless, Refused

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks for left processes in /proc")

STAND_IN = Path(__file__).with_name("stand_in.py")
UP = """
import sys
from pathlib import Path
from limner.runtime import allinone
from limner.runtime.config import Config
raise SystemExit(allinone.run_up(Config.load(), conf=Path(sys.argv[1])))
"""


@pytest.fixture
def conf(tmp_path: Path, config: Config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real map of processes, with stand-ins for the roles but the real Postgres."""
    monkeypatch.setenv("LIMNER_HTTP_PORT", str(config.http_port))
    monkeypatch.setenv("LIMNER_DATA_DIR", str(config.data_dir))
    text = allinone.MAP.read_text()
    assert text.count("command=limner ") == 5
    path = tmp_path / "supervisor.conf"
    path.write_text(text.replace("command=limner ", f"command={sys.executable} {STAND_IN} "))
    return path


@pytest.fixture
def up(conf: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """`limner up` as a process of its own, waited for until it is ready."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", UP, str(conf)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert any("ready at http://127.0.0.1:" in line for line in process.stdout)
        return process

    yield start
    for process in started:
        process.terminate()
        process.wait(20)
        assert process.stdout
        process.stdout.close()


def processes(config: Config) -> list[int]:
    """All processes that were started for this data folder, but not those that start them."""
    mark, found = os.fsencode(config.data_dir), []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
            ours = b"supervisord" in line or b"stand_in.py" in line
            if mark in line or (ours and mark in (process / "environ").read_bytes()):
                found.append(int(process.name))
        except OSError:
            continue
    return found


async def wait_for_none(config: Config, seconds: float) -> None:
    with anyio.fail_after(seconds):
        while processes(config):
            await anyio.sleep(0.1)


def supervisord(config: Config) -> int:
    return int((config.data_dir / "supervisord.pid").read_text())


async def test_all_is_ready_inside_and_nothing_is_left_after(config: Config, conf: Path) -> None:
    async with allinone.running(config, conf=conf) as limner:
        assert limner.address == f"http://127.0.0.1:{config.http_port}"
        roles = {name for pid in processes(config) if (name := role_of(pid))}
        assert roles == {"web", "worker", "bot"}
    assert processes(config) == []


def role_of(pid: int) -> str | None:
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return words[-2] if str(STAND_IN) in words else None


async def test_an_error_inside_comes_out_as_it_was_raised(config: Config, conf: Path) -> None:
    with pytest.raises(Refused, match=r"^no money$"):
        async with allinone.running(config, conf=conf):
            raise Refused("no money")
    assert processes(config) == []


async def test_the_secrets_are_made_once_and_for_our_eyes_only(config: Config, conf: Path) -> None:
    async def start() -> dict[str, str]:
        async with allinone.running(config, conf=conf):
            return {path.name: path.read_text() for path in (config.data_dir / "secrets").iterdir()}

    first = await start()
    assert set(first) == {"secret_key", "vault_keys", "sandbox_secret"}
    assert all((config.data_dir / "secrets" / name).stat().st_mode & 0o777 == 0o600 for name in first)
    assert await start() == first
    assert Config(data_dir=config.data_dir).secret_key.get_secret_value() == first["secret_key"].strip()


async def test_a_killed_supervisord_leaves_nothing_and_the_next_start_works(config: Config, conf: Path) -> None:
    with pytest.raises(Hopeless, match="supervisord ended unexpectedly"):
        async with allinone.running(config, conf=conf):
            os.kill(supervisord(config), signal.SIGKILL)
            await anyio.sleep_forever()
    assert processes(config) == []
    async with allinone.running(config, conf=conf):
        assert len(processes(config)) > 4


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_ten_seconds(
    how: signal.Signals, config: Config, up: Callable[[], subprocess.Popen[str]]
) -> None:
    process, began = up(), time.monotonic()
    process.send_signal(how)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 10
    assert processes(config) == []


def test_a_role_that_will_not_stop_is_killed_within_ten_seconds(
    config: Config, up: Callable[[], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUBBORN_ROLE", "worker")
    process, began = up(), time.monotonic()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert time.monotonic() - began < 10
    assert processes(config) == []


async def test_killing_limner_up_takes_everything_with_it(
    config: Config, up: Callable[[], subprocess.Popen[str]]
) -> None:
    first = up()
    first.kill()
    first.wait(5)
    await wait_for_none(config, 12)
    up()


async def test_both_killed_at_once_still_leaves_the_way_free(
    config: Config, up: Callable[[], subprocess.Popen[str]]
) -> None:
    first, daemon = up(), supervisord(config)
    os.kill(first.pid, signal.SIGSTOP)  # so that it cannot clean up after the other
    os.kill(daemon, signal.SIGKILL)
    os.kill(first.pid, signal.SIGKILL)
    first.wait(5)
    up()
    assert supervisord(config) != daemon


@pytest.mark.parametrize("role", ["migrate", "web"])
async def test_a_broken_program_ends_the_start_with_the_end_of_its_log(
    role: str, config: Config, conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf.write_text(conf.read_text().replace("startretries=3", "startretries=1"))
    monkeypatch.setenv("BROKEN_ROLE", role)
    with pytest.raises(Hopeless, match=rf"(?s)^{role} does not start.*{role} is broken on purpose"):
        async with allinone.running(config, conf=conf):
            pass
    assert processes(config) == []


@pytest.mark.parametrize(
    ("role", "code", "words"),
    [
        ("worker", 1, "(does not start|keeps ending)"),  # by how long it lives on a busy machine
        ("postgres", 1, "(does not start|keeps ending)"),
        ("web", WRONG_SETTINGS, "cannot work as it is set up"),
    ],
)
async def test_a_program_that_gives_up_later_ends_everything_with_one_line_and_its_log(
    role: str, code: int, words: str, config: Config, conf: Path
) -> None:
    map_of_processes = re.sub(r"startretries=\d", "startretries=1", conf.read_text())
    if code == WRONG_SETTINGS:  # found out after a while, such as when the database answers
        map_of_processes = map_of_processes.replace("startsecs=2", "startsecs=0")
    conf.write_text(map_of_processes)
    command = [sys.executable, "-c", UP, str(conf)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        assert any("ready at http://127.0.0.1:" in line for line in process.stdout)
        (config.data_dir / "broken").write_text(f"{role} {code}")
        os.kill(pid_of(config, role), signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 1
    assert re.match(rf"limner: {role} {words}; the end of {role}\.log:\n", said), said
    assert f"limner:   {role} is broken on purpose" in said
    assert processes(config) == []


async def test_a_program_that_ends_again_and_again_ends_everything_too(config: Config, conf: Path) -> None:
    """It lives for longer than supervisord waits, so that no start of it counts as failed."""
    conf.write_text(conf.read_text().replace("startsecs=2", "startsecs=0"))
    with pytest.raises(Hopeless, match=r"(?s)^bot keeps ending; the end of bot\.log:.*bot is broken on purpose"):
        async with allinone.running(config, conf=conf):
            (config.data_dir / "broken").write_text("bot 1")
            os.kill(pid_of(config, "bot"), signal.SIGKILL)
            await anyio.sleep(60)
    assert processes(config) == []


def pid_of(config: Config, role: str) -> int:
    if role == "postgres":
        return int((config.data_dir / "postgres" / "postmaster.pid").read_text().split()[0])
    return next(pid for pid in processes(config) if role_of(pid) == role)


async def test_a_second_start_on_the_same_folder_is_refused(config: Config, conf: Path) -> None:
    async with allinone.running(config, conf=conf):
        with pytest.raises(Refused, match=rf"^Limner already runs on the data folder .*, as process {os.getpid()}$"):
            async with allinone.running(config, conf=conf):
                pass
        assert len(processes(config)) > 4


async def test_a_busy_port_is_told_in_one_line(config: Config, conf: Path) -> None:
    with socket.create_server(("127.0.0.1", config.http_port)):
        with pytest.raises(Refused) as refused:
            async with allinone.running(config, conf=conf):
                pass
    where = f"127.0.0.1:{config.http_port}"
    assert str(refused.value) == f"another program listens on {where}: stop it, or set LIMNER_HTTP_PORT to a free port"
    assert processes(config) == []


async def test_a_port_that_is_just_being_freed_is_waited_for(config: Config, conf: Path) -> None:
    busy = socket.create_server(("127.0.0.1", config.http_port))
    async with anyio.create_task_group() as group:

        async def free_it() -> None:
            await anyio.sleep(0.5)
            busy.close()

        group.start_soon(free_it)
        async with allinone.running(config, conf=conf) as limner:
            assert limner.interrupted is None


async def test_every_obstacle_is_told_at_once(config: Config, conf: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = Config(data_dir=tmp_path / "file" / "var", http_host="192.0.2.1", pg_bin=tmp_path)
    with pytest.raises(Refused) as refused:
        async with allinone.running(wrong, conf=conf):
            pass
    lines = str(refused.value).splitlines()
    assert [line.split(" ")[0:3] for line in lines] == [
        ["the", "data", "folder"], ["LIMNER_PG_BIN:", "there", "is"], ["cannot", "listen", "on"],
    ]  # fmt: skip


def test_an_unwritable_data_folder_is_told_in_one_line(config: Config, conf: Path) -> None:
    config.data_dir.mkdir(mode=0o555)
    command = [sys.executable, "-c", UP, str(conf)]
    said = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=without_override)
    folder = config.data_dir
    assert said.returncode == 1
    assert said.stderr == (
        f"limner: the data folder {folder} cannot be written (Permission denied): set LIMNER_DATA_DIR to one that can\n"
    )


def without_override() -> None:
    """Take root's right to write everywhere from the program that is started next."""
    drop_from_bounding_set, dac_override = 24, 1
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override, 0, 0, 0)
