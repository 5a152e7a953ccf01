"""The command line of training."""

from pathlib import Path

import pytest

from train.__main__ import commands, main
from train.run_folder import RunFolder

SHORT = ["fit", "--preset", "smoke", "--until", "1"]


def test_fields_of_the_preset_can_be_changed_and_the_run_resumed(tmp_path):
    out = ["--out", str(tmp_path / "run")]
    changed = ["--batch", "2", "--stages.0.lr", "0.5", "--network.no-texture", "--shares", "3"]
    assert main([*SHORT, *out, *changed]) == 0
    folder, config = RunFolder.resume(tmp_path / "run")
    assert (config.batch, config.stages[0].lr, config.shares) == (2, 0.5, (3.0,))
    assert not config.network.texture
    assert folder.checkpoint.exists()
    assert main(["fit", "--until", "2", "--resume", *out]) == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fly"], "usage"),
        ([], "usage"),
        (["fit", "--out", "{run}", "--resume"], "no run to resume"),
        (["fit", "--out", "{run}", "--resume", "--batch", "4"], "leave out --batch 4"),
        (["fit", "--out", "{run}", "--config", "{run}.json"], "config.json of a run"),
        ([*SHORT, "--out", "{run}", "--data", "moon"], "unknown"),
        ([*SHORT, "--out", "{run}", "--validation.data", "synthetic"], "no end"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, capsys, arguments: list[str], said: str):
    run = str(tmp_path / "run")
    assert main([argument.format(run=run) for argument in arguments]) == 2
    message = capsys.readouterr().err
    assert said in message.replace("\n", " ")
    assert "Traceback" not in message


def test_help_tells_every_field(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit", "--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    for option in ("--out", "--resume", "--batch", "--weights.orientation", "--stages.2.epochs"):
        assert option in told


def test_commands_of_other_modules_are_found():
    assert {"fit", "labels", "import-labels"} <= set(commands())
