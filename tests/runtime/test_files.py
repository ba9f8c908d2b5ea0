"""What is replaced is replaced whole or not at all, and what the disk refuses is one line."""

from pathlib import Path

import pytest
from safetensors import SafetensorError

from grait.errors import ArtifactError
from grait.runtime.files import replacing_file, replacing_folder, written


def test_a_file_and_a_folder_are_replaced_whole(tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    for content in ("old", "new"):
        with replacing_file(file) as partial:
            partial.write_text(content)
        with replacing_folder(folder) as partial:
            (partial / content).write_text(content)
    assert file.read_text() == "new"
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert sorted(tmp_path.iterdir()) == [file, folder]


@pytest.mark.parametrize("interruption", [RuntimeError, KeyboardInterrupt])
def test_what_failed_leaves_the_old_one_and_nothing_else(tmp_path: Path, interruption: type[BaseException]) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("old")
    folder.mkdir()
    (folder / "old").write_text("old")
    with pytest.raises(interruption), replacing_file(file) as partial:
        partial.write_text("half")
        raise interruption
    with pytest.raises(interruption), replacing_folder(folder) as partial:
        (partial / "half").write_text("half")
        raise interruption
    assert file.read_text() == "old"
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert sorted(tmp_path.iterdir()) == [file, folder]


def test_what_a_kill_left_is_not_mixed_into_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for kind in ("partial", "replaced"):
        (tmp_path / f".folder.{kind}").mkdir()
        (tmp_path / f".folder.{kind}" / "left").write_text("left")
    folder.mkdir()
    with replacing_folder(folder) as partial:
        (partial / "new").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert sorted(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device", "/x"), "No space left on device"),
        (OSError("an error\nof a library"), "an error of a library"),
        (SafetensorError("I/O error"), "I/O error"),
    ],
)
def test_what_the_disk_refuses_is_one_line(tmp_path: Path, error: Exception, says: str) -> None:
    for what, words in (("", "cannot write"), ("the model", "cannot write the model")):
        with pytest.raises(ArtifactError) as caught, written(tmp_path, what):
            raise error
        assert str(caught.value) == f"{tmp_path}: {words}: {says}"
    with pytest.raises(ValueError), written(tmp_path):
        raise ValueError
