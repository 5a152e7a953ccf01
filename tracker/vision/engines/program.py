"""The part of the network that runtimes compile: pictures in, the layers' numbers out.

Pictures come as cameras and files hold them, rows of RGB; the closed forms stay outside.
"""

import copy
import hashlib
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tracker.vision.network import RawOutput, S2HandNetwork
from tracker.vision.network_heads import RawAppearance, RawGeometry

OUTPUTS: Final = ("pose", "betas", "scale", "rotation", "transl", "texture", "light")
_LAYERS_VERSION: Final = 1
"""Counts changes of the layers' meaning that leave names and sizes of their weights alone."""
SEEN: Final = ("place", "sureness")
"""Two more outputs of a network with joint maps."""


class LookProgram(nn.Module):
    """`S2HandNetwork.look` with rows of RGB in [0, 1] in and a flat tuple of float32 out."""

    def __init__(self, network: S2HandNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Float[Tensor, "b h w 3"]) -> tuple[Tensor, ...]:
        """Return what `output_names` lists."""
        raw = self.network.look(crops.permute(0, 3, 1, 2))
        parts = (*raw.geometry, *raw.appearance)
        seen = () if raw.seen is None else (raw.seen.place, raw.seen.sureness)
        return tuple(part.float() for part in (*parts, *seen))


def output_names(network: S2HandNetwork) -> tuple[str, ...]:
    """Return the names of a program's outputs, in order."""
    return OUTPUTS if network.joints is None else OUTPUTS + SEEN


def raw_output(parts: Sequence[Tensor]) -> tuple[RawOutput, tuple[Tensor, ...]]:
    """Return a program's outputs by name, and those of `SEEN` where there are some."""
    raw = RawOutput(RawGeometry(*parts[:5]), RawAppearance(*parts[5:7]))
    return raw, tuple(parts[7:])


class MaxOfHalves(nn.Module):
    """`nn.AdaptiveMaxPool2d(2)` in operations that every runtime has; for evaluation only."""

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c 2 2"]:
        """Return the largest value in each quarter; quarters of odd sizes share their border."""
        height, width = x.shape[-2:]
        down, right = (height + 1) // 2, (width + 1) // 2
        rows = [x[..., :down, :].amax(-2), x[..., height - down :, :].amax(-2)]
        sides = torch.stack(rows, -2)
        columns = [sides[..., :right].amax(-1), sides[..., width - right :].amax(-1)]
        return torch.stack(columns, -1)


def portable_program(network: S2HandNetwork) -> LookProgram:
    """Return the program of a copy that says the same in operations that every runtime has."""
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(network.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, nn.AdaptiveMaxPool2d):
                setattr(parent, name, MaxOfHalves())
    return LookProgram(network).eval()


def half_program(network: S2HandNetwork) -> LookProgram:
    """Return a portable copy with its convolutions in float16 and the regression of geometry in float32.

    The regressors are a few thin matrices; in half they alone would cost half a millimetre.
    """
    program = portable_program(network)
    network = program.network
    network.encoder.half()
    network.appearance.half()
    if network.joints is not None:
        network.joints.half()
    return program


def example(network: S2HandNetwork, batch: int = 1) -> Float[Tensor, "b h w 3"]:
    """Return gray crops of the right size."""
    side = network.config.input_px
    return torch.full((batch, side, side, 3), 0.5)


@contextmanager
def quiet_export() -> Generator[None, None, None]:
    """Return a context for tracing: no gradients, and none of PyTorch's warnings about itself."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def export_static(program: LookProgram, batch: int) -> torch.export.ExportedProgram:
    """Trace the program for one batch size."""
    with quiet_export():
        return torch.export.export(program, (example(program.network, batch),))


def export_batches(
    program: LookProgram, crops: Float[Tensor, "b h w 3"], most: int
) -> torch.export.ExportedProgram:
    """Trace the program for batches of 1 to `most`; `crops` tell device and size."""
    # One picture would be taken for a constant, so the example holds two.
    batch = torch.export.Dim("batch", min=1, max=most)
    with quiet_export():
        return torch.export.export(program, (crops,), dynamic_shapes={"crops": {0: batch}})


def fingerprint(network: S2HandNetwork) -> str:
    """Return a hash of configuration and weights: what a compiled engine belongs to."""
    digest = hashlib.sha256(network.config.to_json().encode())
    for name, value in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    # Changed layers make other engines of the same weights.
    digest.update(str(_LAYERS_VERSION).encode())
    return digest.hexdigest()
