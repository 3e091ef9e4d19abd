"""What only we write is not written through links: the file that a link leads to stays as it is."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from quorate import pidfile
from quorate.client.checkpoint import Checkpoint, Saved
from quorate.cluster.raft.storage.directory import LOCK_NAME, DataDirectory
from quorate.cluster.raft.storage.files import OsFiles
from quorate.dev.folder import ClusterFolder, Mark
from quorate.errors import ConfigError, DataError
from quorate.ingest.social.places import PlacesFile
from quorate.own_files import open_anew, read_own

PRECIOUS = "somebody's precious words"


@pytest.fixture
def precious(tmp_path: Path) -> Path:
    file = tmp_path / "precious"
    file.write_text(PRECIOUS)
    return file


def links(path: Path, to: Path) -> list[Callable[[], None]]:
    """Both kinds of links, each made anew."""

    def make(link: Callable[[Path], None]) -> Callable[[], None]:
        def do() -> None:
            path.unlink(missing_ok=True)
            link(to)

        return do

    return [make(path.symlink_to), make(path.hardlink_to)]


def test_no_link_is_taken_for_a_pid_file(tmp_path: Path, precious: Path) -> None:
    for link in links(tmp_path / "node.pid", precious):
        link()
        with pytest.raises(OSError, match=r"link.*remove it"):
            pidfile.hold(tmp_path)
        assert pidfile.running(tmp_path) is None
        assert PRECIOUS == precious.read_text()


def test_no_link_is_taken_for_the_lock_of_a_data_folder(tmp_path: Path, precious: Path) -> None:
    (tmp_path / "n1").mkdir(0o700)
    for link in links(tmp_path / "n1" / LOCK_NAME, precious):
        link()
        with pytest.raises(DataError, match=r"link.*remove it"):
            DataDirectory.open(tmp_path / "n1", node_id="n1")
        assert PRECIOUS == precious.read_text()


def test_no_link_is_followed_to_a_part_of_the_log(tmp_path: Path, precious: Path) -> None:
    folder = tmp_path / "n1"
    folder.mkdir()
    (folder / "log").symlink_to(precious)
    files = OsFiles(folder)
    try:
        for ask in (lambda: files.read("log"), lambda: files.write("log", 0, b"x")):
            with pytest.raises(OSError, match="symbolic links"):
                ask()
    finally:
        files.close()
    assert PRECIOUS == precious.read_text()


@pytest.mark.parametrize(
    ("mode", "refused"), [(0o700, False), (0o755, False), (0o775, False), (0o757, True), (0o1777, True)]
)
def test_a_data_folder_that_others_can_change_is_refused(tmp_path: Path, mode: int, refused: bool) -> None:
    folder = tmp_path / "n1"
    DataDirectory.open(folder, node_id="n1").close()
    folder.chmod(mode)
    if refused:
        with pytest.raises(DataError, match="can be changed by other users of this host: chmod o-w"):
            DataDirectory.open(folder, node_id="n1")
    else:
        DataDirectory.open(folder, node_id="n1").close()


def test_a_data_folder_that_others_can_replace_is_refused(tmp_path: Path) -> None:
    above = tmp_path / "data"
    DataDirectory.open(above / "n1", node_id="n1").close()
    above.chmod(0o777)
    with pytest.raises(DataError, match=f"can be replaced by other users of this host: chmod o-w {above}"):
        DataDirectory.open(above / "n1", node_id="n1")
    above.chmod(0o1777)
    DataDirectory.open(above / "n1", node_id="n1").close()


def test_a_new_folder_is_made_private_whatever_mode_it_was_given(tmp_path: Path) -> None:
    folder = tmp_path / "n1"
    folder.mkdir()
    folder.chmod(0o777)
    DataDirectory.open(folder, node_id="n1").close()
    assert 0o700 == stat.S_IMODE(folder.stat().st_mode)


def test_a_checkpoint_is_written_and_read_through_no_link(tmp_path: Path, precious: Path) -> None:
    folder = tmp_path / "feeds"
    with Checkpoint.held("votes", folder, "c1") as checkpoint:
        (lock,) = folder.iterdir()
        file = lock.with_suffix(".json")
        file.with_suffix(".new").symlink_to(precious)
        checkpoint.save(Saved(name="votes", session="s", options=""))
        assert ("votes", PRECIOUS) == (getattr(checkpoint.load(), "name", None), precious.read_text())
        assert {0o600} == {stat.S_IMODE(each.stat().st_mode) for each in folder.iterdir()}
        file.unlink()
        file.symlink_to(precious)
        with pytest.raises(OSError, match=r"link.*remove it"):
            checkpoint.load()
    lock.unlink()
    lock.symlink_to(precious)
    with pytest.raises(OSError, match=r"link.*remove it"), Checkpoint.held("votes", folder, "c1"):
        pass


@pytest.mark.parametrize("mode", [0o757, 0o1777])
@pytest.mark.parametrize(
    "held", [lambda folder: Checkpoint.held("votes", folder, "c1"), lambda f: PlacesFile.held("x", f)]
)
def test_checkpoints_that_others_could_have_written_are_not_believed(
    tmp_path: Path, mode: int, held: Callable[[Path], AbstractContextManager[object]]
) -> None:
    folder = tmp_path / "feeds"
    folder.mkdir()
    folder.chmod(mode)
    with (
        pytest.raises(ConfigError, match=f"can be changed by other users of this host: chmod o-w {folder}"),
        held(folder),
    ):
        pass
    assert [] == [*folder.iterdir()]


@pytest.mark.parametrize(
    "held", [lambda folder: Checkpoint.held("votes", folder, "c1"), lambda f: PlacesFile.held("x", f)]
)
def test_a_folder_that_cannot_be_made_is_told_with_what_names_another_one(
    tmp_path: Path, held: Callable[[Path], AbstractContextManager[object]]
) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder, why in ((file / "feeds", "Not a directory"), (file, "it is no folder")):
        told = f"{folder} cannot be used: {why}; give another folder with --state"
        with pytest.raises(ConfigError, match=f"^{told}$"), held(folder):
            pass


def test_what_a_full_disk_does_not_take_is_told_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the system says of a write names no file."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        Checkpoint.held("votes", tmp_path / "feeds", "c1") as checkpoint,
        pytest.raises(OSError, match=f"the checkpoint cannot be written: No space left on device, in {tmp_path}/feeds"),
    ):
        checkpoint.save(Saved(name="votes", session="s", options=""))


def test_a_pipe_is_no_file_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "node.pid")
    assert pidfile.running(tmp_path) is None
    with pytest.raises(OSError, match=r"no file.*remove it"):
        pidfile.hold(tmp_path)
    with pytest.raises(OSError, match=r"no file.*remove it"):
        read_own(tmp_path / "node.pid")


def test_dev_writes_its_files_through_no_link(tmp_path: Path, precious: Path) -> None:
    folder = ClusterFolder(tmp_path)
    (tmp_path / ".cluster.json").symlink_to(precious)
    folder.write_mark(Mark(3, 8001))
    assert (3, PRECIOUS) == (getattr(folder.mark, "nodes", None), precious.read_text())


def test_what_is_made_anew_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    file.chmod(0o666)
    with open_anew(file) as opened:
        opened.write(b"after")
    assert (b"after", 0o600) == (read_own(file), stat.S_IMODE(file.stat().st_mode))
