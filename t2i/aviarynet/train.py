"""Trains AviaryNet and writes its weights: ``python -m t2i.aviarynet.train``, a few minutes on two cores.

Whoever changes the drawing or this recipe makes a new network: raise the number in ``aviarynet.NAME`` and in
``aviary.VERSION``, and do not compare its figures with those of the old one.
"""

import hashlib
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from t2i.aviarynet import SIDE, WEIGHTS, AviaryNet
from t2i.data.aviary import VALUES, random_bird
from t2i.data.aviary_drawing import draw
from t2i.progress import tqdm

BIRDS, HELD_OUT, STEPS, BATCH, RATE, SEED = 16000, 2000, 4000, 64, 2e-3, 1


def _drawn(number: int) -> tuple[np.ndarray, list[int]]:
    """Bird ``number`` as it may meet the network: whole or cropped around its box, shifted, then 72 px square."""
    rng = np.random.default_rng([SEED, 77, number])
    bird = random_bird(rng)
    picture, (x, y, width, height) = draw(bird, 128, rng)
    if rng.random() < 0.5:  # between the whole picture and the crop of the multi-stage models
        reach = rng.uniform(0.7, 1.0) * max(width, height)
        cx, cy = x + width / 2, y + height / 2
        picture = picture.crop(
            tuple(int(v) for v in (max(0, cx - reach), max(0, cy - reach), min(128, cx + reach), min(128, cy + reach)))
        )
    picture = picture.resize((72, 72), Image.Resampling.BILINEAR)
    return np.asarray(picture), [values.index(getattr(bird, name)) for name, values in VALUES.items()]


def draw_birds(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` birds as uint8 (N, 3, 72, 72) and their attribute indices (N, 12)."""
    with ProcessPoolExecutor() as pool:
        drawn = list(pool.map(_drawn, range(first, first + count), chunksize=100))
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor([labels for _, labels in drawn])


def _disturbed(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Crops, at times passed through 16 or 32 px, with noise: generated pictures are never as clean as drawn ones."""
    top, left = (int(v) for v in torch.randint(0, 72 - SIDE + 1, (2,), generator=generator))
    images = images[:, :, top : top + SIDE, left : left + SIDE].float() / 127.5 - 1
    side = (16, 32, 32, SIDE)[torch.randint(4, (), generator=generator)]
    if side < SIDE:
        images = F.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
        images = F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", antialias=True)
    strength = 0.15 * torch.rand((), generator=generator)
    return (images + strength * torch.randn(images.shape, generator=generator)).clamp(-1, 1)


@torch.inference_mode()
def accuracy(network: AviaryNet, images: torch.Tensor, labels: torch.Tensor, side: int) -> dict[str, float]:
    """The share of birds whose attribute is seen, at ``side`` px."""
    network.eval()
    images = F.interpolate(
        images[:, :, 4:68, 4:68].float() / 127.5 - 1, size=(side, side), mode="bilinear", antialias=True
    )
    _, logits = network(images)
    return {name: (logits[name].argmax(1) == labels[:, i]).float().mean().item() for i, name in enumerate(VALUES)}


def main() -> None:
    torch.manual_seed(SEED)
    images, labels = draw_birds(0, BIRDS)
    generator = torch.Generator().manual_seed(SEED)
    network = AviaryNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS)
    bar = tqdm(range(STEPS))
    for _ in bar:
        chosen = torch.randint(0, BIRDS, (BATCH,), generator=generator)
        _, logits = network(_disturbed(images[chosen], generator).contiguous(memory_format=torch.channels_last))
        loss = sum(F.cross_entropy(logits[name], labels[chosen, i]) for i, name in enumerate(VALUES)) / len(VALUES)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}")
    held_out, truths = draw_birds(BIRDS, HELD_OUT)
    for side in (32, 64):
        seen = accuracy(network, held_out, truths, side)
        print(f"{side} px:", "  ".join(f"{name} {share:.3f}" for name, share in seen.items()))
    save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, WEIGHTS)
    print(
        f"{WEIGHTS.name}: {WEIGHTS.stat().st_size:,} bytes, SHA256 = {hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}"
    )


if __name__ == "__main__":
    main()
