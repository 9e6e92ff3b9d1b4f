"""How far fp8 is from the official code's float32 numbers, compared with bfloat16: `make bench-fp8`.

The recorded generations of the reference folders are run with the transformer in bfloat16, and then with the linear
layers of its blocks in fp8 (e4m3) besides. fp8 is emulated on the CPU: weights are rounded with one scale for each
output row, activations with one for each token, and products are summed in float32, as a GPU's fp8 matrix product does.
A distance is the root of the mean square of the difference over that of the recorded numbers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.page import publish
from inference.engine import components
from inference.engine.checkpoint.streaming import Home
from inference.engine.dit.model import MultiTalkDiT
from inference_engine.parity import golden, infinitetalk, models, sampling
from inference_engine.parity.golden import Case
from inference_engine.parity.modules import Outputs

TITLE = "fp8"
FP8 = torch.float8_e4m3fn
LARGEST = torch.finfo(FP8).max
RUNS: Mapping[str, Callable[[Case], Outputs]] = {
    "generate": sampling.generate,
    "infinitetalk_generate": infinitetalk.generate,
}
FORMS = ("bfloat16", "fp8 weights", "fp8 weights and activations")
COMPARED = ("pred.0", "latents.0", "video")
ABOUT = """\
How far the recorded generations come out from the official code's float32 numbers: the first velocities, the latents
of the first window, the video, each as a root mean square over that of the numbers. fp8 is emulated in the linear
layers of the blocks: a scale for each row of the weights, and one for each token. Weights are those of the reference
folders, drawn by rules; the official code's own bfloat16 was not recorded, so that column is this engine's, which
rounds where it does. fp8 (e4m3) keeps 3 bits after the first one, bfloat16 keeps 7. Command: `make bench-fp8`."""


class Fp8Linear(nn.Module):
    """A linear layer whose weights, and maybe inputs, are rounded to fp8."""

    def __init__(self, layer: nn.Linear, activations: bool) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(rounded(layer.weight.float()), requires_grad=False), layer.bias
        self._activations = activations

    def forward(self, x: Tensor) -> Tensor:
        wide = rounded(x.float()) if self._activations else x.float()
        return functional.linear(wide, self.weight, self.bias.float()).to(x.dtype)


def rounded(rows: Tensor) -> Tensor:
    """To the nearest values that fp8 has, with a scale for each row."""
    scale = rows.abs().amax(-1, keepdim=True).clamp(min=1e-12) / LARGEST
    return (rows / scale).to(FP8).float() * scale


def in_form(model: MultiTalkDiT, form: str) -> MultiTalkDiT:
    layers = [(name, layer) for name, layer in model.blocks.named_modules() if isinstance(layer, nn.Linear)]
    for name, layer in layers if form != "bfloat16" else []:
        owner, _, leaf = name.rpartition(".")
        setattr(model.blocks.get_submodule(owner), leaf, Fp8Linear(layer, form.endswith("activations")))
    return model


@contextmanager
def transformer_in(form: str) -> Iterator[None]:
    """Within it, every case builds its transformer so; the other networks stay float32."""
    original = models.dit

    def build(case: Case) -> MultiTalkDiT:
        config = case.record["models"]["dit"] if "models" in case.record else case.config
        home = Home(torch.device("cpu"), torch.bfloat16)
        return in_form(components.load_dit(case.store("dit"), config, home=home)[0], form)

    models.dit = build
    try:
        yield
    finally:
        models.dit = original


def distance(output: Tensor, expected: Tensor) -> float:
    wanted = expected.double()
    return ((output.double() - wanted).square().mean() / wanted.square().mean()).sqrt().item()


def distances(case: Case) -> dict[str, dict[str, float]]:
    """Of each output that is compared, by form."""
    found = {}
    for form in FORMS:
        with transformer_in(form):
            outputs = RUNS[case.kind](case)
        expected = case.expected()
        found[form] = {name: distance(outputs[name], expected[name][0]) for name in COMPARED}
    return found


def row(case: str, found: Mapping[str, Mapping[str, float]]) -> str:
    cells = [", ".join(f"{found[form][output]:.3f}" for output in COMPARED) for form in FORMS]
    plain = found[FORMS[0]]
    times = [min(found[form][output] / plain[output] for output in COMPARED) for form in FORMS[1:]]
    times += [max(found[form][output] / plain[output] for output in COMPARED) for form in FORMS[1:]]
    return f"| {' | '.join([case, *cells, f'{min(times):.1f} to {max(times):.1f}'])} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="FILE", help="replace this page's chapter")
    options = parser.parse_args()
    folders = [found for model in golden.VARIABLES if (found := golden.folder(model))]
    cases = [case for folder in folders for case in golden.read_cases(folder) if case.kind in RUNS]
    page = "\n".join(
        [
            ABOUT,
            "",
            f"| case | {' | '.join(FORMS)} | fp8 over bfloat16 |",
            "| --- | --- | --- | --- | --- |",
            *(row(case.id, distances(case)) for case in cases),
        ]
    )
    publish(page, TITLE, options.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
