"""What the released checkpoints call the parts of our multi-stage networks: beginnings of keys, theirs to ours."""

# Theirs and ours inside a refinement stage; AttnGAN's stages have ``att``, StackGAN++'s ``jointConv``, DM-GAN's the
# others.
_STAGE = {
    "A.": "word_gate.",
    "B.": "image_gate.",
    "M_r.0.": "write_image.conv.",
    "M_w.0.": "write_word.conv.",
    "key.0.": "key.conv.",
    "att.conv_context.": "key.",
    "value.0.": "value.conv.",
    "response_gate.0.": "response_gate.",
    "jointConv.0.": "joint.conv.",
    "jointConv.1.": "joint.norm.",
}
# The blocks of a tower, up to 64 px and then for each size: (convolution, batch norm).
_FIRST = [("img_code_s16.0", ""), *((f"img_code_s16.{k}", f"img_code_s16.{k + 1}") for k in (2, 5, 8))]
_FIRST_SPECTRAL = [(f"img_code_s16.{k}", "") for k in (0, 2, 4, 6)]
_LATER = [[], ["s32", "s32_1"], ["s32", "s64", "s64_1", "s64_2"]]


def generator(residual_blocks: int) -> dict[str, str]:
    """``G_NET`` of AttnGAN, DM-GAN and StackGAN++, three stages."""
    names = {"ca_net.": "augmentation.", "h_net1.fc.": "initial.fc."}
    for k in range(4):
        names |= _up(f"h_net1.upsample{k + 1}.", f"initial.ups.{k}.")
    for k in range(2):
        theirs, ours = f"h_net{k + 2}.", f"refinements.{k}."
        names |= {theirs + part: ours + own for part, own in _STAGE.items()}
        names |= {f"{theirs}residual.{r}.block.": f"{ours}residual.{r}.body." for r in range(residual_blocks)}
        names |= _up(f"{theirs}upsample.", f"{ours}up.")
    return names | {f"img_net{k + 1}.img.": f"heads.{k}." for k in range(3)}


def discriminator(scale: int, norm: str) -> dict[str, str]:
    """``D_NET64``, ``D_NET128``, ``D_NET256`` (``scale`` 0, 1, 2)."""
    later = [(f"img_code_{name}.0", f"img_code_{name}.1") for name in _LATER[scale]]
    blocks = (_FIRST_SPECTRAL if norm == "spectral" else _FIRST) + later
    places = [*(f"tower.{k}" for k in range(len(blocks))), "joint"]
    names = {"UNCOND_DNET.outlogits.0.": "unconditional_logit.", "COND_DNET.outlogits.0.": "conditional_logit."}
    for (convolution, batch_norm), place in zip(
        [*blocks, ("COND_DNET.jointConv.0", "COND_DNET.jointConv.1")], places, strict=True
    ):
        if norm == "spectral":
            parts = {"weight_bar": "weight", "weight_u": "u", "weight_v": "v", "bias": "bias"}
            names |= {f"{convolution}.module.{part}": f"{place}.conv.{own}" for part, own in parts.items()}
        else:
            names |= {f"{convolution}.": f"{place}.conv."} | (
                {f"{batch_norm}.": f"{place}.norm."} if batch_norm else {}
            )
    return names


def tree_discriminator(scale: int) -> dict[str, str]:
    """``D_NET64``, ``D_NET128``, ``D_NET256`` (``scale`` 0, 1, 2) of StackGAN++: other names for the same heads."""
    heads = {
        "COND_DNET.jointConv": "jointConv",
        "COND_DNET.outlogits": "logits",
        "UNCOND_DNET.outlogits": "uncond_logits",
    }
    return {
        next((name.replace(old, new) for old, new in heads.items() if name.startswith(old)), name): ours
        for name, ours in discriminator(scale, "batch").items()
    }


def stage_one_generator() -> dict[str, str]:
    """``STAGE1_G`` of StackGAN."""
    names = {"ca_net.": "augmentation.", "fc.": "fc.", "img.": "head."}
    for k in range(4):
        names |= {f"upsample{k + 1}.1.": f"ups.{k}.0.", f"upsample{k + 1}.2.": f"ups.{k}.1."}
    return names


def stage_two_generator(residual_blocks: int) -> dict[str, str]:
    """``STAGE2_G``, with its Stage-I inside."""
    first = stage_one_generator()
    names = {f"STAGE1_G.{theirs}": f"stage1.{ours}" for theirs, ours in first.items()}
    names |= {f"residual.{r}.block.": f"residual.{r}.body." for r in range(residual_blocks)}
    del first["fc."]
    return names | first | {"encoder.": "encoder.", "hr_joint.": "joint."}


def stage_discriminator(convolutions: int) -> dict[str, str]:
    """``STAGE1_D`` (4 convolutions) and ``STAGE2_D`` (8)."""
    names = {"encode_img.0.": "tower.0.conv."}
    for k in range(1, convolutions):
        names |= {f"encode_img.{3 * k - 1}.": f"tower.{k}.conv.", f"encode_img.{3 * k}.": f"tower.{k}.norm."}
    parts = {"0.": "joint.conv.", "1.": "joint.norm.", "3.": "conditional_logit."}
    names |= {f"get_cond_logits.outlogits.{theirs}": ours for theirs, ours in parts.items()}
    return names | {"get_uncond_logits.outlogits.0.": "unconditional_logit."}


def _up(theirs: str, ours: str) -> dict[str, str]:
    return {f"{theirs}1.": f"{ours}conv.", f"{theirs}2.": f"{ours}norm."}
