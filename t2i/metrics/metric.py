"""What a metric is: an entry of :data:`t2i.metrics.table.METRICS`."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from t2i.errors import UserError

if TYPE_CHECKING:
    from t2i.data.dataset import ImageTextDataset
    from t2i.metrics.evaluate import Evaluation
    from t2i.training.run import Run


@dataclass(frozen=True)
class Column:
    """How tables show one figure: its ``key`` in a record's metrics, its heading, and the digits after the point.

    A share of 1 is shown in ``percent``; ``published`` is what ``data/published.json`` calls the figure, where that is
    not the heading. ``shuffled`` is the key and ``shuffled_title`` the heading of the same figure with the captions
    dealt anew, where it is measured: both stand in the table that asks whether the caption matters.
    """

    key: str
    title: str
    digits: int = 2
    shuffled: str = ""
    shuffled_title: str = ""
    percent: bool = False
    published: str = ""

    @property
    def heading(self) -> str:
        """The title with its unit."""
        return f"{self.title} %" if self.percent else self.title

    def both(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Key and heading with the right captions, and with shuffled ones."""
        shuffled = self.shuffled_title or f"{self.title}, shuffled"
        return (self.key, self.heading), (self.shuffled, f"{shuffled} %" if self.percent else shuffled)


def too_few(unseen: "ImageTextDataset", images: int = 2, classes: int = 1) -> str | None:
    """The clause for a metric that takes at least so many unseen images, and of so many classes, where there are
    fewer."""
    if len(unseen) < images:
        return f"it takes at least {images} unseen images, and there is {len(unseen)}"
    if (there := len(set(unseen.labels))) < classes:
        return f"it takes unseen images of at least {classes} classes, and all are of {there}"
    return None


def too_few_pairs(unseen: "ImageTextDataset", classes: int = 1) -> str | None:
    """The same for a metric that matches captions with images, which takes two pairs that are certain."""
    labels = unseen.labels[unseen.certain]
    if len(labels) < min(2, len(unseen)):
        return f"it takes two unseen images whose captions are certainly their own, and there are {len(labels)}"
    if (there := len(set(labels))) < classes <= len(set(unseen.labels)):
        return f"it takes such images of at least {classes} classes, and all are of {there}"
    return too_few(unseen, classes=classes)


def note_pairs(evaluation: "Evaluation") -> None:
    """Say in the record how many pairs are certain, where not all are."""
    certain, every = len(evaluation.unseen.certain), len(evaluation.unseen)
    if certain < every:
        whose = "unseen images whose captions are certainly their own"
        evaluation.notes["pairs"] = f"captions and images are matched on the {certain:,} of {every:,} {whose}"


class Metric:
    """Figures that are measured together, under one protocol.

    ``name`` is its name in :data:`METRICS`, on the command line and in records; ``needs`` completes "it needs ..." for
    runs to which it does not apply; ``columns`` are those of its figures that tables compare; ``judge`` is the model
    whose digest stands in its protocol, where one judges. One that is ``on_request`` is measured only where it is
    named.
    """

    name: str
    needs = "a generator"
    judge = ""
    on_request = False
    columns: tuple[Column, ...] = ()

    def applies(self, run: "Run") -> bool:
        """Whether ``run`` can be measured so; by default every generator can."""
        return not run.is_encoder

    def missing(self, run: "Run") -> UserError | None:
        """What keeps a run of the right kind from being measured; where all metrics are asked for it is said, and the
        record keeps it."""
        return None

    def lacking(self, unseen: "ImageTextDataset") -> str | None:
        """What keeps the figures from being measured on the images of ``unseen``, as a clause; None where nothing does.
        Where all metrics are asked for it is said, and the record keeps it."""
        return None

    def protocol(self, evaluation: "Evaluation") -> str:
        """The name of everything, besides the run, that the figures depend on."""
        raise NotImplementedError

    def look(self, evaluation: "Evaluation") -> AbstractContextManager[Callable[[Tensor], dict[str, Tensor]]]:
        """A context whose function takes uint8 pictures (B, 3, s, s) and returns what the metric keeps of each of them:
        name -> (B, ...). All generated pictures pass by once, for all metrics, and none is kept; ``measure`` finds what
        was kept in ``evaluation.of_generated(self)``, and that of the unseen images in ``evaluation.of_real(self)``."""
        return nullcontext(lambda pictures: {})

    def measure(self, evaluation: "Evaluation") -> dict[str, float | None]:
        """The figures; what else the record is to keep goes into ``evaluation.notes``."""
        raise NotImplementedError
