"""What merging an adapter for the rollout engine does to bfloat16 weights: ratios, one layer, some seconds on a CPU.

    python benchmarks/merge_drift.py [--steps 330] [--brief]

One 1536 × 1536 projection (Qwen2.5-1.5B's) with weights of deviation 0.02 and a rank-32 adapter that Adam would move by
the paper's learning rate, 1e-6, per step in mostly the same direction. δ is the adapter's contribution, W the weights.

drift / δ         how far merging in place and taking out again, once a step, has moved W
engine sees       the share of δ along itself that is left of it after W + δ is rounded to bfloat16
engine's error    what rounding adds, relative to δ
"""

import argparse

import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from generalthinker.training.colocated import merged_parameters

WIDTH, RANK, LEARNING_RATE, BIAS = 1536, 32, 1e-6, 0.3


class Layer(nn.Module):
    """A model of one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj = nn.Linear(WIDTH, WIDTH, bias=False, dtype=torch.bfloat16)
        nn.init.normal_(self.q_proj.weight, std=0.02)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Project."""
        return self.q_proj(x)


@torch.no_grad()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=330)
    parser.add_argument("--brief", action="store_true", help="ten steps: does it run?")
    arguments = parser.parse_args()
    steps = 10 if arguments.brief else arguments.steps
    torch.manual_seed(0)
    model = get_peft_model(Layer(), LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules=["q_proj"]))
    layer = model.base_model.model.q_proj
    first = layer.base_layer.weight.detach().float()
    print(f"{'step':>5} {'δ / W':>9} {'drift / δ':>10} {'engine sees':>12} {'engine error':>13}")
    for step in range(1, steps + 1):
        for factor in (layer.lora_A["default"].weight, layer.lora_B["default"].weight):
            factor += LEARNING_RATE * torch.sign(torch.randn_like(factor) + BIAS)
        if step in {1, 10, 100, steps}:
            delta = layer.get_delta_weight("default").float()
            drift = layer.base_layer.weight.float() - first
            model_weight = layer.base_layer.weight.clone()
            layer.base_layer.weight.data = first.bfloat16()
            seen = dict(merged_parameters(model))["q_proj.weight"].float() - first
            layer.base_layer.weight.data = model_weight
            print(
                f"{step:>5} {delta.norm() / first.norm():>9.1e} {drift.norm() / delta.norm():>10.3f} "
                f"{(seen * delta).sum() / delta.square().sum():>12.3f} {(seen - delta).norm() / delta.norm():>13.3f}"
            )
        model.merge_adapter()
        model.unmerge_adapter()


if __name__ == "__main__":
    main()
