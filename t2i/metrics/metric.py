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

    ``shuffled`` is the key and ``shuffled_title`` the heading of the same figure with the captions dealt anew, where it
    is measured: both stand in the table that asks whether the caption matters.
    """

    key: str
    title: str
    digits: int = 2
    shuffled: str = ""
    shuffled_title: str = ""

    def both(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Key and heading with the right captions, and with shuffled ones."""
        return (self.key, self.title), (self.shuffled, self.shuffled_title or f"{self.title}, shuffled")


def too_few(unseen: "ImageTextDataset", images: int = 2, classes: int = 1) -> str | None:
    """The clause for a metric that takes at least so many unseen images, and of so many classes, where there are
    fewer."""
    if len(unseen) < images:
        return f"it takes at least {images} unseen images, and there is {len(unseen)}"
    if (there := len(set(unseen.labels))) < classes:
        return f"it takes unseen images of at least {classes} classes, and all are of {there}"
    return None


class Metric:
    """Figures that are measured together, under one protocol.

    ``name`` is its name in :data:`METRICS`, on the command line and in records; ``needs`` completes "it needs ..." for
    runs to which it does not apply; ``columns`` are those of its figures that tables compare.
    """

    name: str
    needs = "a generator"
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
