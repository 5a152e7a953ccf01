"""The command line: what it understands, how it complains, and that its help teaches."""

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from apps.clip_arguments import parse_arguments
from apps.clip_options import ClipOptions
from tracker.export.formats import EXPORTERS

PROGRAM = Path(__file__).resolve().parents[2] / "apps" / "video_to_mesh.py"


def test_words_become_options() -> None:
    words = "a.mp4 b --out o --export glb --fov 70 --hand-length-mm 188 --no-overlay --max-hands 1"
    arguments = parse_arguments(words.split())
    options = arguments.options
    assert arguments.clips == (Path("a.mp4"), Path("b"))
    assert (options.output.out, options.output.formats) == (Path("o"), ("glb",))
    assert (options.camera.fov, options.picture.overlay) == (70.0, False)
    assert (options.hand.tracker.max_hands, options.hand.tracker.hand_length_mm) == (1, 188.0)
    assert options.hand.tracker.smoothing is not None
    options.check()


def test_nothing_said_is_the_default() -> None:
    assert parse_arguments(["a.mp4"]).options == ClipOptions()
    ClipOptions().check()


NONSENSE = {
    "a.mp4 --fov wide": "--fov: could not convert string to float: 'wide'",
    "a.mp4 --max-hands two": "--max-hands",
    "a.mp4 --landmarks huge": "'full', 'lite'",
    "a.mp4 --fow 60": "--fow",
    "a.mp4 --out": "--out",
}


@pytest.mark.parametrize("words", NONSENSE)
def test_nonsense_is_one_line_and_exit_code_2(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(words.split())
    said = capsys.readouterr()
    assert (caught.value.code, said.out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+ --help\n", said.err)
    assert NONSENSE[words] in said.err
    assert not re.search(r"[─-╿]", said.err)


def test_help_names_every_flag_and_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    groups = (getattr(ClipOptions(), name) for name in ("output", "picture", "camera", "hand"))
    for option in (field.name for group in groups for field in fields(group)):
        assert f"--{option.replace('_', '-')}" in text
    for word in (*EXPORTERS, "exit code", "Ctrl-C", "examples:", "summary.json"):
        assert word in text


def test_the_examples_of_the_help_are_understood() -> None:
    from apps.clip_arguments import DESCRIPTION

    examples = re.findall(
        r"^  python apps/video_to_mesh.py (.*?)(?:  +\(.*\))?$", DESCRIPTION, re.M
    )
    assert len(examples) >= 4
    for example in examples:
        arguments = parse_arguments(example.split())
        arguments.options.check()
        assert arguments.clips


def test_the_program_itself_says_one_line_and_exits_with_2(tmp_path: Path) -> None:
    clip = tmp_path / "gone.mp4"
    done = subprocess.run(
        [sys.executable, str(PROGRAM), str(clip)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"error: {clip} does not exist; give a video file or a folder of images\n"
    assert done.stderr == expected
