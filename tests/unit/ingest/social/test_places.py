"""The positions of a stream: kept as a whole, for one command at a time, and never those of something else."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import Conflict, Invalid
from quorate.ingest.social.places import Places, PlacesFile, SavedPlaces


def test_positions_are_kept_by_part_and_an_empty_one_is_forgotten(tmp_path: Path) -> None:
    with PlacesFile.held("a", tmp_path) as file:
        places = Places(file)
        places.confirmed({"one": "1", "two": "2"})
        places.confirmed({"one": "3"})
        places.write()
        assert {"one": "3", "two": "2"} == Places(file).at_start
        places.confirmed({"two": "", "three": "4"})
        places.write()
        assert {"one": "3", "three": "4"} == Places(file).at_start


def test_streams_of_different_names_have_their_own_and_new_begins_without(tmp_path: Path) -> None:
    with PlacesFile.held("a", tmp_path) as file, PlacesFile.held("b", tmp_path) as other:
        places = Places(file)
        places.confirmed({"": "1"})
        places.write()
        assert {} == Places(other).at_start
        assert {} == Places(file, new=True).at_start
        assert {"": "1"} == Places(file).at_start


def test_one_command_at_a_time_holds_them(tmp_path: Path) -> None:
    with (
        PlacesFile.held("wikimedia to topic votes", tmp_path),
        pytest.raises(Conflict, match="another `quorate stream` reads wikimedia to topic votes; wait until it ends"),
        PlacesFile.held("wikimedia to topic votes", tmp_path),
    ):
        pass
    with PlacesFile.held("wikimedia to topic votes", tmp_path):
        pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b'{"name": "a", "positions": {"": 1}}'])
def test_a_damaged_file_is_told_and_not_guessed_at(tmp_path: Path, content: bytes) -> None:
    with PlacesFile.held("a", tmp_path) as file:
        places = Places(file)
        places.confirmed({"": "1"})
        places.write()
        (path,) = tmp_path.glob("*.json")
        path.write_bytes(content)
        with pytest.raises(Invalid, match=r"the positions in .* are damaged .* Remove them, or give --new"):
            Places(file)
        assert {} == Places(file, new=True).at_start


def test_a_file_of_another_stream_is_not_taken_for_its_own(tmp_path: Path) -> None:
    """Somebody copied it."""
    with PlacesFile.held("wikimedia to topic votes", tmp_path) as file:
        file.save(SavedPlaces("wikimedia to topic moods", {"": "1"}))
        with pytest.raises(
            Invalid, match=r"are of another stream, wikimedia to topic moods\. Remove them, or give --new"
        ):
            Places(file)
        assert {} == Places(file, new=True).at_start


def test_a_position_that_cannot_be_written_is_told_with_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with PlacesFile.held("a", tmp_path / "state") as file:
        places = Places(file)
        places.confirmed({"": "1"})
        (tmp_path / "state").rename(tmp_path / "elsewhere")
        places.write_if_due()
        assert f"No such file or directory, in {tmp_path / 'state'}" == places.trouble
        assert f"the position cannot be written: {places.trouble}; reading goes on" in caplog.text
        (tmp_path / "elsewhere").rename(tmp_path / "state")
        places.write()
        assert not places.trouble
