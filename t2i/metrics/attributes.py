"""Attribute accuracy: does AviaryNet see in a picture what its caption named?"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from t2i import aviarynet
from t2i.data import DATASETS
from t2i.data.aviary import VALUES
from t2i.data.aviary_captions import named_attributes
from t2i.metrics.metric import Column, Metric
from t2i.metrics.protocols import short


class Attributes(Metric):
    """Accuracy of every attribute with the captions that the pictures were drawn for, with those of others, and of the
    real pictures that the captions were written for; tables have the first for six attributes, the notes hold all."""

    name = "attributes"
    needs = "a generator of drawn birds, whose attributes are known"
    columns = (
        Column("body_accuracy", "body color seen", 1, "body_accuracy_shuffled", "with captions shuffled", percent=True),
        *(
            Column(f"{part}_accuracy", f"{part} color seen", 1, percent=True)
            for part in ("belly", "wing", "crown", "bill")
        ),
        Column("pose_accuracy", "pose seen", 1, percent=True),
    )

    def applies(self, run) -> bool:
        return not run.is_encoder and DATASETS[run.config.dataset].attributes is not None

    def protocol(self, evaluation) -> str:
        return f"attributes-{short(len(evaluation.captions))}-{aviarynet.NAME}"

    def look(self, evaluation):
        return nullcontext(seen)

    def measure(self, evaluation) -> dict[str, float]:
        shown, asked = evaluation.of_generated(self), evaluation.captions
        right, wrong = (compared(shown, captions) for captions in (asked, evaluation.shuffled_captions))
        numbers = torch.from_numpy(evaluation.numbers)
        real = compared({name: values[numbers] for name, values in evaluation.of_real(self).items()}, asked)
        evaluation.notes["attributes"] = {
            name: row | {"shuffled": wrong[name]["accuracy"], "real": real[name]["accuracy"]}
            for name, row in right.items()
        }
        keys = (column.key for column in self.columns)
        found = {key: right[name]["accuracy"] for key in keys if (name := key.removesuffix("_accuracy")) in right}
        return found | ({"body_accuracy_shuffled": wrong["body"]["accuracy"]} if "body" in wrong else {})


def seen(images: Tensor) -> dict[str, Tensor]:
    """The attributes that AviaryNet sees in uint8 images (N, 3, s, s): name -> index into ``VALUES[name]``, (N,)."""
    _, logits = aviarynet.embed(images.float() / 127.5 - 1)
    return {name: values.argmax(dim=1).cpu() for name, values in logits.items()}


def accuracy(images: Tensor, captions: Sequence[str]) -> dict[str, dict]:
    """For each attribute: how many captions name it, how often image i shows what caption i names, and chance.

    Chance is the accuracy of the same pictures under all captions, that is, of captions dealt at random; it is not
    1 / values, because neither captions nor pictures are uniform. Attributes that no caption names are left out.
    """
    return compared(seen(images), captions)


def compared(found: dict[str, Tensor], captions: Sequence[str]) -> dict[str, dict]:
    """:func:`accuracy` of pictures that were looked at before: ``found`` is what :func:`seen` gave of them."""
    named = [named_attributes(caption) for caption in captions]
    table = {}
    for name, values in VALUES.items():
        rows = [i for i, facts in enumerate(named) if name in facts]
        if rows:
            wanted = torch.tensor([values.index(named[i][name]) for i in rows])
            shown = found[name][rows]
            frequency = [torch.bincount(x, minlength=len(values)).double() / len(rows) for x in (wanted, shown)]
            table[name] = {
                "count": len(rows),
                "accuracy": (shown == wanted).double().mean().item(),
                "chance": (frequency[0] * frequency[1]).sum().item(),
            }
    return table
