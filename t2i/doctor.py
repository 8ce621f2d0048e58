"""``python -m t2i doctor``: what this machine has, and which file would have to be put where."""

import importlib.metadata
import platform

from t2i import config as configs
from t2i import data, device, paths, weights
from t2i.provenance import hardware

PACKAGES = ("torch", "torchvision", "lightning-fabric", "torch-fidelity", "numpy", "pillow")

WEIGHTS = {
    weights.INCEPTION_TF: "published FID and IS",
    weights.INCEPTION_LEGACY: "DAMSM's trunk on photographs, the papers' PyTorch FID",
    weights.GOOGLENET: "image features of Char-CNN-RNN on photographs",
    weights.CLIP: "R-precision by CLIP",
}


def report() -> str:
    """Versions, device, folders, data sets and weights, one to a line."""
    lines = [f"Python     {platform.python_version()}"]
    lines += [f"{name:<18}{importlib.metadata.version(name)}" for name in PACKAGES]
    lines += [f"hardware   {', '.join(str(part) for part in hardware().values())}"]
    lines += [f"precision  {device.precision_reason('32-true')}"]
    lines += [f"T2I_DATA   {paths.data_root()}", f"T2I_RUNS   {paths.runs_root()}", "data sets"]
    for name in data.DATASETS:
        root = data.root(configs.load("gan-cls", name, "cpu"))
        entry = data.DATASETS[name]
        mend = f"python -m t2i data prepare --dataset {name}" if entry.download or entry.make else f"put it at {root}"
        lines.append(f"  {name:<11}{root if root.is_dir() else f'absent: {mend}'}")
    lines.append(f"weights    in {weights.INCEPTION_TF.default.parent}")
    for file, use in WEIGHTS.items():
        there = "here" if file.default.is_file() else "absent: fetched on first use, or put it there by hand"
        lines.append(f"  {file.name} ({use}): {there}")
    there = f"absent: {weights.LITE0.mend()}" if weights.LITE0.fault(weights.LITE0.default) else "here, in its package"
    lines.append(f"  {weights.LITE0.name} (features of photographs): {there}")
    return "\n".join(lines)
