"""`./run` on pretend machines: a PATH of stand-ins for Python, pip, apt-get, id, sudo and nvidia-smi."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
TOOLS = [
    "bash",
    "cat",
    "cksum",
    "cp",
    "dirname",
    "env",
    "grep",
    "head",
    "mkdir",
    "paste",
    "printenv",
    "rm",
    "sed",
    "tail",
    "true",
]
CPU_INDEX = "--index-url https://download.pytorch.org/whl/cpu"
LIBRARIES = "libglib2.0-0 libgl1 libegl1 libxrender1"

pytestmark = pytest.mark.skipif(
    shutil.which("bash") is None or Path("/proc/driver/nvidia/version").exists(),
    reason="needs bash, and a machine on which an NVIDIA driver can be pretended away",
)

PYTHON = f"""#!/usr/bin/env bash
# Answers what ./run asks of Python and pip, notes the calls, and leaves the rest to a real Python.
case "$*" in
  *version_info\\[:2\\]*) ;;
  *ctypes*) printf '%b' "${{MISSING:-}}" ;;
  *importlib.metadata*) echo torch==1.2.3+cpu ;;
  "-m venv "*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python" && echo "$0 $*" >>"$CALLS" ;;
  *--report*--index-url*) cat "$REPORTS/pytorch.json" ;;
  *--report*) cat "$REPORTS/default.json" ;;
  *--editable*"${{BROKEN:-nothing}}"*)
    echo "WARNING: Location 'file:///elsewhere/' is ignored: it is neither a file nor a directory."
    echo "ERROR: No space left on device"
    exit 1 ;;
  "-m pip "* | "-m pytest"* | apps/*) echo "$*" >>"$CALLS" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A checkout on a machine that has nothing but what a test gives it."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "checkout"

    @property
    def stamp(self) -> Path:
        return self.checkout / ".venv" / ".set-up"

    def calls(self) -> str:
        """What the stand-ins were asked to change, a line each."""
        log = self.folder / "calls"
        return log.read_text("utf-8") if log.exists() else ""

    def has(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        program = self.folder / "bin" / name
        program.write_text(script, "utf-8")
        program.chmod(0o755)

    def offers_torch(self, index: str, version: str, *requires: str) -> None:
        """Let pip find this PyTorch in an index, "default" or "pytorch"."""
        metadata = {"version": version, "requires_dist": list(requires)}
        report = json.dumps({"install": [{"metadata": metadata}]})
        (self.folder / "reports" / f"{index}.json").write_text(report, "utf-8")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Call ./run and return what it said."""
        known = {
            "PATH": str(self.folder / "bin"),
            "CALLS": str(self.folder / "calls"),
            "REPORTS": str(self.folder / "reports"),
        }
        return subprocess.run(
            [str(self.checkout / "run"), *arguments],
            check=False,
            env=known | environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
        )


@pytest.fixture
def bare_machine(tmp_path: Path) -> Machine:
    """A machine with a shell and its usual tools, but without Python."""
    for folder in ("bin", "reports", "checkout"):
        (tmp_path / folder).mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(shutil.which(tool) or tool)
    for name in ("run", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path / "checkout" / name)
    return Machine(tmp_path)


@pytest.fixture
def machine(bare_machine: Machine) -> Machine:
    """A machine with Python 3.11 and a CPU build of PyTorch in pip's own index."""
    bare_machine.has("python3.11", PYTHON)
    bare_machine.has("id", "#!/usr/bin/env bash\necho 0")
    bare_machine.offers_torch("default", "2.13.0+cpu", "filelock", "sympy")
    return bare_machine


def torch_call(machine: Machine) -> str:
    """The one pip call that installed PyTorch."""
    calls = [line for line in machine.calls().splitlines() if "torch>=" in line]
    assert len(calls) == 1
    return calls[0]


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], []])
def test_help_teaches_and_changes_nothing(bare_machine: Machine, arguments: list[str]):
    result = bare_machine.run(*arguments)
    assert result.returncode == 0
    for command in ("./run demo", "./run tests", "./run setup", "rm -rf .venv"):
        assert command in result.stdout
    assert not (bare_machine.checkout / ".venv").exists()


def test_an_unknown_option_is_refused(machine: Machine):
    result = machine.run("--no-such-option")
    assert result.returncode == 2
    assert "./run demo" in result.stderr
    assert not machine.calls()


def test_without_python_it_says_which_one_to_install(bare_machine: Machine):
    result = bare_machine.run("setup")
    assert result.returncode == 2
    assert "Python 3.10, 3.11 or 3.12" in result.stderr
    assert "sudo apt-get install -y python3 python3-venv" in result.stderr


def test_an_unfit_python_is_passed_over(machine: Machine):
    machine.has("python3", "#!/usr/bin/env bash\nexit 1")
    assert machine.run("setup").returncode == 0
    assert machine.calls().startswith(str(machine.folder / "bin" / "python3.11"))


def test_the_user_may_choose_the_python(machine: Machine):
    machine.has("my-python", PYTHON)
    assert machine.run("setup", PYTHON="my-python").returncode == 0
    assert machine.calls().startswith(str(machine.folder / "bin" / "my-python"))
    assert "in no-python" in machine.run("setup", "osc", PYTHON="no-python").stderr


def test_without_root_it_says_what_to_type(machine: Machine):
    machine.has("id", "#!/usr/bin/env bash\necho 1000")
    machine.has("sudo", "#!/usr/bin/env bash\nexit 1")
    machine.has("apt-get", '#!/usr/bin/env bash\necho "apt-get $*" >>"$CALLS"')
    result = machine.run("setup", MISSING="libegl1\\npython3.11-venv\\n")
    assert result.returncode == 2
    assert "sudo apt-get install -y libegl1 python3.11-venv\n" in result.stderr
    assert not machine.calls()
    assert not machine.stamp.exists()


def test_without_apt_it_names_the_packages(machine: Machine):
    result = machine.run("setup", MISSING="libgl1\\n")
    assert result.returncode == 2
    assert "missing: libgl1" in result.stderr


@pytest.mark.parametrize("user", ["0", "1000"])
def test_root_and_free_sudo_install_what_is_missing(machine: Machine, user: str):
    machine.has("id", f"#!/usr/bin/env bash\necho {user}")
    machine.has("sudo", '#!/usr/bin/env bash\n[ "$1" = -n ] && shift && SUDO="as root: " "$@"')
    machine.has("apt-get", '#!/usr/bin/env bash\necho "${SUDO:-}apt-get $*" >>"$CALLS"')
    result = machine.run("setup", MISSING=LIBRARIES.replace(" ", "\\n") + "\\n")
    assert result.returncode == 0, result.stderr
    prefix = "" if user == "0" else "as root: "
    assert machine.calls().startswith(
        f"{prefix}apt-get -q update\n"
        f"{prefix}apt-get -q install -y --no-install-recommends {LIBRARIES}\n"
    )


def test_a_cpu_build_in_reach_is_taken(machine: Machine):
    assert machine.run("setup").returncode == 0
    assert CPU_INDEX not in torch_call(machine)


def test_a_build_that_asks_for_no_gpu_package_is_a_cpu_build(machine: Machine):
    machine.offers_torch("default", "2.13.0", "filelock", "sympy")
    assert machine.run("setup").returncode == 0
    assert CPU_INDEX not in torch_call(machine)


@pytest.mark.parametrize("requirement", ["nvidia-cudnn-cu13==9.1", "cuda-bindings", "triton==3.5"])
def test_a_cuda_build_is_passed_over_without_a_driver(machine: Machine, requirement: str):
    machine.offers_torch("default", "2.13.0", "filelock", requirement)
    machine.offers_torch("pytorch", "2.13.0+cpu", "filelock")
    assert machine.run("setup").returncode == 0
    assert CPU_INDEX in torch_call(machine)


def test_nothing_is_installed_when_only_cuda_is_in_reach(machine: Machine):
    machine.offers_torch("default", "2.13.0", "nvidia-cudnn-cu13==9.1")
    result = machine.run("setup")
    assert result.returncode == 2
    assert "has a CPU build of\ntorch>=" in result.stderr
    assert "torch>=" not in machine.calls()
    assert "--editable" not in machine.calls()


def test_with_a_driver_pip_chooses(machine: Machine):
    machine.has("nvidia-smi", "#!/usr/bin/env bash\necho 'GPU 0: pretended'")
    machine.offers_torch("default", "2.13.0", "nvidia-cudnn-cu13==9.1")
    assert machine.run("setup").returncode == 0
    assert CPU_INDEX not in torch_call(machine)


def test_the_range_is_the_projects_own_and_the_build_is_pinned(machine: Machine):
    machine.run("setup")
    requirement = re.search(r"torch>=\S+", torch_call(machine))
    assert requirement is not None
    assert f'"{requirement[0]}"' in (REPOSITORY / "pyproject.toml").read_text("utf-8")
    pins = machine.checkout / ".venv" / "constraints.txt"
    assert pins.read_text("utf-8") == "torch==1.2.3+cpu\n"
    assert f"--constraint {pins} --editable {machine.checkout}\n" in machine.calls()


def test_a_second_call_does_nothing_until_the_project_changes(machine: Machine):
    machine.run("setup")
    before = machine.calls()
    assert machine.run("setup").stderr == ""
    assert machine.calls() == before
    with (machine.checkout / "pyproject.toml").open("a") as project:
        project.write("\n")
    machine.run("setup")
    assert machine.calls() != before


def test_extras_add_up(machine: Machine):
    machine.run("setup", "osc")
    machine.run("setup", "train,export")
    assert machine.calls().endswith(f"--editable {machine.checkout}[osc,train,export]\n")
    before = machine.calls()
    for extras in ([], ["export"], ["osc"], ["train,export"]):
        machine.run("setup", *extras)
    assert machine.calls() == before


def test_a_failure_shows_pips_words_and_is_taken_up_again(machine: Machine):
    result = machine.run("setup", BROKEN="checkout")
    assert result.returncode == 2
    assert "ERROR: No space left on device" in result.stderr
    assert "is ignored" not in result.stderr
    assert not machine.stamp.exists()
    assert machine.run("setup").returncode == 0
    assert machine.stamp.exists()


def test_a_failed_update_of_a_finished_set_up_is_not_taken_for_finished(machine: Machine):
    machine.run("setup")
    machine.run("setup", "osc", BROKEN="osc")
    before = machine.calls()
    machine.run("setup")
    assert machine.calls() != before


def test_a_moved_checkout_is_set_up_anew(machine: Machine):
    machine.run("setup")
    moved = machine.folder / "moved"
    moved.mkdir()
    for folder in ("bin", "reports"):
        (machine.folder / folder).rename(moved / folder)
    shutil.copytree(machine.checkout, moved / "checkout")
    assert Machine(moved).run("setup").returncode == 0
    assert f"-m venv {moved / 'checkout' / '.venv'}" in Machine(moved).calls()


def test_a_users_own_environment_is_kept(machine: Machine):
    own = machine.checkout / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.write_text(PYTHON, "utf-8")
    own.chmod(0o755)
    assert machine.run("setup").returncode == 0
    assert "-m venv" not in machine.calls()


def test_commands_run_inside_the_environment(machine: Machine):
    machine.run("setup")
    names = ("OMP_WAIT_POLICY", "THP_MEM_ALLOC_ENABLE", "VIRTUAL_ENV")
    result = machine.run("printenv", *names)
    assert result.stdout.split() == ["passive", "1", str(machine.checkout / ".venv")]
    assert machine.run("printenv", names[0], OMP_WAIT_POLICY="active").stdout == "active\n"
    program = "import os, sys; print(os.getcwd(), sys.argv[1:])"
    result = machine.run("python", "-c", program, "two  words", "")
    assert result.stdout == f"{machine.folder} {['two  words', '']}\n"
    assert machine.run("bash", "-c", "exit 7").returncode == 7


def test_tests_hands_its_options_to_pytest(machine: Machine):
    assert machine.run("tests", "-k", "one or two").returncode == 0
    assert f"--editable {machine.checkout}[dev,train,export]\n" in machine.calls()
    assert machine.calls().endswith("\n-m pytest -k one or two\n")


def test_demo_tracks_the_demo_clip(machine: Machine):
    assert machine.run("demo", "--export", "obj").returncode == 0
    app = "apps/video_to_mesh.py apps/demo/demo.mp4 --out out --export obj"
    assert machine.calls().endswith(f"\n{app}\n")
    assert os.access(REPOSITORY / "run", os.X_OK)
