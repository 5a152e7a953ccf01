"""Fixtures for every test, and the one place where tests are skipped for want of hardware or data."""

import os
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_configure(config: pytest.Config) -> None:
    """Keep PyTorch to one thread: the tests are small, and waiting threads cost more than they give."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read once, when PyTorch is first imported
    import torch

    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked `gpu` where there is none."""
    import torch

    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU; PyTorch sees none"))


@pytest.fixture
def rng() -> np.random.Generator:
    """The same random numbers in every run."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of recorded clips and measured hands: HANDLOOM_TEST_DATA, else ../shared/data."""
    folder = Path(os.environ.get("HANDLOOM_TEST_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs recorded clips; {folder} is no folder. Name one in HANDLOOM_TEST_DATA")
    return folder
