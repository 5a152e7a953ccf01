"""The doctor, in health and in illness."""

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps import doctor_checks
from apps.doctor_checks import CHECKS, Check, Finding
from apps.doctor_probes import Answer, probe
from apps.webcam_doctor import examine, main

REPOSITORY = Path(__file__).resolve().parents[2]
APPS = REPOSITORY / "apps"


def ill() -> list[Finding]:
    raise RuntimeError("cough")


def test_this_machine_is_examined_quickly(capsys):
    began = time.monotonic()
    code = main()
    assert time.monotonic() - began < 20  # 1 to 2 s on an idle machine
    said = capsys.readouterr().out
    assert code == (1 if "\nproblem " in f"\n{said}" else 0)
    for check in CHECKS[:2]:
        assert check.name in said
    assert "can run" in said.splitlines()[-1]


def test_a_check_that_fails_harms_no_other():
    fine = Check("fine", lambda: [Finding("fine", "ok", "well")])
    findings = examine([fine, Check("ill", ill), fine])
    assert [f.verdict for f in findings] == ["ok", "problem", "ok"]
    assert "cough" in findings[1].found


@pytest.mark.parametrize(("verdict", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_the_exit_code_says_whether_the_program_can_run(verdict, code, capsys):
    assert main([Check("one", lambda: [Finding("one", verdict, "found", "type this")])]) == code
    assert "-> type this" in capsys.readouterr().out


@pytest.mark.parametrize("words", [("webcam_doctor.py",), ("webcam.py", "doctor")])
def test_it_works_where_nothing_is_installed(words):
    """Python alone, without site-packages: everything is missing and each thing is named."""
    command = [sys.executable, "-I", "-S", str(APPS / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "numpy" in done.stdout
    assert "./run setup" in done.stdout


def test_what_is_wrong_comes_with_what_to_type(monkeypatch):
    monkeypatch.setattr(doctor_checks, "_version", lambda package: None)
    findings = doctor_checks.packages()
    assert findings[0].verdict == "problem"
    assert findings[0].fix


def test_other_versions_are_noticed(monkeypatch):
    real = doctor_checks._version
    monkeypatch.setattr(doctor_checks, "_version", lambda p: "1.26.4" if p == "numpy" else real(p))
    warned = [f for f in doctor_checks.packages() if f.verdict == "warning"]
    assert any("numpy 1.26.4 (wanted >=2.0" in f.found for f in warned)


def test_two_builds_of_opencv_are_noticed(monkeypatch):
    real = doctor_checks._version
    monkeypatch.setattr(
        doctor_checks, "_version", lambda p: "4.12" if p == "opencv-python" else real(p)
    )
    assert any("two builds of OpenCV" in f.found for f in doctor_checks.packages())


def test_a_taken_port_is_noticed(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(doctor_checks, "STREAM_PORT", taken.getsockname()[1])
        (finding,) = doctor_checks.port()
    assert finding.verdict == "warning"
    assert "--serve" in finding.fix
    assert doctor_checks.port()[0].verdict == "ok"


def test_without_a_display_the_other_views_are_named(monkeypatch):
    if not sys.platform.startswith("linux"):
        pytest.skip("the display is a variable on Linux only")
    monkeypatch.delenv("DISPLAY", raising=False)
    (finding,) = doctor_checks.display()
    assert finding.verdict == "warning"
    assert "--view browser" in finding.fix
    monkeypatch.setenv("DISPLAY", ":9876")
    (finding,) = doctor_checks.display()
    assert finding.verdict == "warning"
    assert ":9876" in finding.found


def test_a_full_disk_is_noticed(monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert doctor_checks.space()[0].verdict == "warning"


def test_a_network_that_is_damaged_or_not_there_is_a_warning(monkeypatch):
    (whole,) = doctor_checks.network()
    assert whole.verdict == "ok"
    answers = iter([Answer(False, (), "network 'n' is not the one"), Answer(True, ("",))])
    monkeypatch.setattr(doctor_checks, "probe", lambda _: next(answers))
    for words in ("not the one", "not there"):
        (finding,) = doctor_checks.network()
        assert finding.verdict == "warning"
        assert words in finding.found
        assert "weights/network.safetensors" in finding.fix


def test_models_that_are_damaged_are_a_problem(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(
        doctor_checks,
        "probe",
        lambda *a: probe("import sys; sys.exit('model x has other contents')"),
    )
    (finding,) = doctor_checks.models()
    assert finding.verdict == "problem"
    assert "other contents" in finding.found
    assert "mediapipe" in finding.fix


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed"),
        ("import time; time.sleep(60)", "no answer"),
        ("raise ValueError('no luck')", "ValueError: no luck"),
        ("import sys; sys.exit(3)", "exit code 3"),
    ],
)
def test_probes_survive_whatever_happens_in_them(program, reason):
    answer = probe(program, timeout_s=3.0 if "sleep" in program else 20.0)
    assert not answer.ok
    assert reason in answer.reason


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("2.4.6", ">=2.0,<2.6", True),
        ("2.6", ">=2.0,<2.6", False),
        ("2.13.0+cpu", ">=2.9,<2.14", True),
        ("0.10.14", "==0.10.14", True),
        ("0.10.21", "==0.10.14", False),
        ("10", ">=9.5", True),
        ("1.0", "", True),
    ],
)
def test_version_ranges(version, wanted, fits):
    assert doctor_checks._within(version, wanted) is fits
