"""What the golden makers share: where fixtures live, and how tensors are written."""

import json
import pathlib
import shutil

import mlx.core as mx
import numpy as np
import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL_FIXTURES = ROOT / "crates/models/tests/fixtures"
QUANT_FIXTURES = ROOT / "crates/quant/tests/fixtures"
LIMIT = 300_000  # bytes a committed fixture directory may take


def from_mlx(array: mx.array) -> torch.Tensor:
    """The same values and type as a torch tensor (bf16 has no numpy type: go through its bits)."""
    if array.dtype == mx.bfloat16:
        return torch.from_numpy(np.array(array.view(mx.uint16))).view(torch.bfloat16)
    return torch.from_numpy(np.array(array))


def save(path: pathlib.Path, tensors: dict[str, torch.Tensor], metadata=None):
    """Write tensors as safetensors; the same tensors always give the same bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata)
    path.chmod(0o644)


def save_json(path: pathlib.Path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def fresh(directory: pathlib.Path) -> pathlib.Path:
    """An empty directory in place of whatever an earlier run left there."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def check_size(directory: pathlib.Path):
    size = sum(f.stat().st_size for f in directory.rglob("*") if f.is_file())
    assert size < LIMIT, f"{directory.name}: {size} bytes, limit {LIMIT}"
    return size
