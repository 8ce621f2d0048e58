"""A panel for notebooks: type a caption, choose a seed, a stage and a word, and see what the word does there.

Where widgets do not work (a page that shows a saved notebook, a printed lesson) the same cell shows a still picture.
"""

import base64
import io

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from t2i.data.captions import tokenise
from t2i.errors import UserError
from t2i.plots import word_maps
from t2i.training.run import Run


def look(run: Run, caption: str, seed: int = 0) -> tuple[list[Tensor], list[Tensor], list[str]]:
    """What ``run`` draws for one caption: its images (3, s, s) uint8, small to large, for each refinement stage the
    attention (T, h, w), and the T words that were read. :class:`UserError` where there is no refinement."""
    made = run.draw([caption], *run.noise(1, seed))
    if not made.attention:
        problem = f"{run.config.name} has no stage that looks at words"
        raise UserError(problem, "Look at a run of a model with refinements, such as attngan.")
    known = [word for word in tokenise(caption) if word in run.encoder.vocabulary.ids]
    return [image[0] for image in made.images], [maps[0] for maps in made.attention], known


def still(run: Run, caption: str, seed: int = 0, stage: int = 0) -> Figure:
    """The last image of a caption, and under it where each word was looked up in refinement ``stage`` (from 0)."""
    images, attention, words = look(run, caption, seed)
    return word_maps(images[-1], words, attention[stage])


class Panel:
    """:func:`still` with controls; ``Panel(run, "a red bird")`` as the last line of a cell shows it."""

    def __init__(self, run: Run, caption: str, seed: int = 0):
        self.run = run
        stages = len(look(run, caption, seed)[1])
        self.caption = widgets.Text(caption, description="caption", continuous_update=False, layout={"width": "95%"})
        self.seed = widgets.BoundedIntText(seed, min=0, max=9999, description="seed")
        self.stage = widgets.Dropdown(options=[(f"refinement {k + 1}", k) for k in range(stages)], description="stage")
        self.word = widgets.Dropdown(options=["all"], description="word")
        self.picture, self.note = widgets.Image(format="png"), widgets.Label()
        for control in (self.caption, self.seed, self.stage, self.word):
            control.observe(lambda _: self.draw(), names="value")
        controls = widgets.HBox([self.seed, self.stage, self.word])
        self.widget = widgets.VBox([self.caption, controls, self.note, self.picture])
        self.draw()

    def draw(self) -> None:
        """Draw anew for the controls as they stand; a caption that cannot be read leaves the picture and says why."""
        try:
            images, attention, words = look(self.run, self.caption.value, self.seed.value)
        except UserError as error:
            self.note.value = str(error)
            return
        self.note.value = " ".join(self.run.unread([self.caption.value]))
        options = ["all", *(f"{k + 1} {word}" for k, word in enumerate(words))]
        if tuple(options) != self.word.options:
            with self.word.hold_trait_notifications():
                self.word.options, self.word.value = options, "all"
        maps, chosen = attention[self.stage.value], options.index(self.word.value)
        if chosen:
            words, maps = words[chosen - 1 : chosen], maps[chosen - 1 : chosen]
        self.picture.value = _png(word_maps(images[-1], words, maps, side=1.3 if not chosen else 2.6))

    def _repr_mimebundle_(self, **_) -> dict:
        """Both forms: a front end takes the widget where it can, and the picture where it cannot."""
        picture = base64.b64encode(self.picture.value).decode()
        return self.widget._repr_mimebundle_() | {"image/png": picture}


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
