"""A panel for notebooks: type a caption and see what a model draws for it, and what each word does there.

It has every released model and a run of one's own; a second caption to walk to; noise that can be turned down; and
"shuffle", which shows what the caption is worth. Where widgets do not work (a page that shows a saved notebook, a
printed lesson) the same cell keeps a still picture.
"""

import base64
import html
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from matplotlib.figure import Figure
from torch import Tensor

from t2i import device, released, tiles
from t2i.data.captions import tokenise
from t2i.data.dataset import rng_for
from t2i.data.images import to_uint8
from t2i.errors import UserError
from t2i.notebook import captions_for
from t2i.plots import lit, word_maps
from t2i.text import TextFeatures
from t2i.tiles import Row, Tile
from t2i.training.run import Drawn, Run

CAPTION = "a yellow bird with black wings and a red crown"
FIRST = "attngan-aviary"  # the released model that is shown first, where it is there
WALK = 9  # pictures between two captions
OTHERS = 6  # captions, and draws of the noise, that shuffle shows
BIG, SMALL = 256, 84  # pixels
ALL = "all"
# Where the widget lives, the picture that is kept for other pages is hidden; where it does not, its place is.
KEPT = """<style>
.jp-OutputArea-child:has(.t2i-panel) + .jp-OutputArea-child:has(.t2i-still) {display: none}
.jp-OutputArea-child:not(:has(.t2i-panel)):has(+ .jp-OutputArea-child .t2i-still) {display: none}
</style>"""
BUSY = "<style>.t2i-busy img {opacity: 0.35}</style>"


def look(run: Run, caption: str, seed: int = 0) -> tuple[list[Tensor], list[Tensor], list[str]]:
    """What ``run`` draws for one caption: its images (3, s, s) uint8, small to large, for each refinement stage the
    attention (T, h, w), and the T words that were read. :class:`UserError` where there is no refinement."""
    made = run.draw([caption], *run.noise(1, seed))
    if not made.attention:
        problem = f"{run.config.name} has no stage that looks at words"
        raise UserError(problem, "Look at a run of a model with refinements, such as attngan.")
    return [image[0] for image in made.images], [maps[0] for maps in made.attention], words_of(run, caption)


def still(run: Run, caption: str, seed: int = 0, stage: int = 0) -> Figure:
    """The last image of a caption, and under it where each word was looked up in refinement ``stage`` (from 0)."""
    images, attention, words = look(run, caption, seed)
    return word_maps(images[-1], words, attention[stage])


def words_of(run: Run, caption: str) -> list[str]:
    """The words of a caption that the run reads one by one: none where its encoder reads characters."""
    known = run.encoder.require_vocabulary().ids if run.reads_words else {}
    return [word for word in tokenise(caption) if word in known]


@torch.inference_mode()
def walk(run: Run, first: str, second: str, shares: Tensor, noise: Tensor, eps: Tensor) -> Drawn:
    """Pictures on the way from one caption to another: one for each of ``shares`` (N,), 0 the first, 1 the second.

    The sentence vector goes straight from one to the other; so does each word, to the one at the same place of the
    other caption (:func:`words_between`). ``noise`` (1, Z) and ``eps`` (1, C) stay.
    """
    with device.on_device(run.encoder, run.device) as encoder, device.on_device(run.generator, run.device) as generator:
        place = next(generator.parameters()).device
        read, shares = encoder.features([first, second]), shares.to(place)
        words, mask = (None, None) if read.words is None else words_between(read, shares)
        text = TextFeatures(words, torch.lerp(*read.sentence[:, None], shares[:, None]), mask)
        noise, eps = (part.to(place).expand(len(shares), -1) for part in (noise, eps))
        made = generator(noise, text, eps)
    return Drawn([to_uint8(size).cpu() for size in made.images], [maps.cpu() for maps in made.attention])


def words_between(read: TextFeatures, shares: Tensor) -> tuple[Tensor, Tensor]:
    """The words on the way between two captions, and their mask: (N, 256, T), (N, T).

    There are as many as the nearer caption has, and each lies between that caption's word and the word as far from the
    other's beginning, in parts of its length: 0 gives the first caption itself, 1 the second.
    """
    counts, longest = (~read.mask).sum(dim=1).tolist(), read.mask.shape[1]
    words = read.words.new_zeros(len(shares), read.words.shape[1], longest)
    mask = read.mask.new_ones(len(shares), longest)
    for row, share in enumerate(shares.tolist()):
        count = counts[share > 0.5]
        places = [torch.linspace(0, own - 1, count).round().long().to(words.device) for own in counts]
        first, second = (one[:, place] for one, place in zip(read.words, places, strict=True))
        words[row, :, :count], mask[row, :count] = torch.lerp(first, second, share), False
    return words, mask


def other_captions(run: Run, seed: int, count: int = OTHERS) -> list[str]:
    """Captions for the same noise: those that all lessons share or, where the run does not know their words, words of
    its own vocabulary at random."""
    shared = captions_for(run.config.data_name)
    if not run.reads_words or not run.encoder.require_vocabulary().unknown(" ".join(shared)):
        return list(shared[:count])
    words = run.encoder.require_vocabulary().words[1:]
    picks = rng_for(seed, 0, "other captions").integers(len(words), size=(count, 6))
    return [" ".join(words[pick] for pick in few) for few in picks]


class Shuffled(NamedTuple):
    """The same noise under other captions and the same caption under other noise: images (n, 3, s, s) uint8, the
    captions, and by how much of 255 either changes a pixel on average."""

    captions: list[str]
    by_caption: Tensor
    by_noise: Tensor
    caption_change: float
    noise_change: float

    @property
    def share(self) -> float:
        """What part of the change is the caption's; 0 where nothing changes."""
        return self.caption_change / max(self.caption_change + self.noise_change, 1e-9)


def shuffled(run: Run, caption: str, seed: int, noise: float = 1.0) -> Shuffled:
    """What the caption is worth: the picture of ``caption`` and ``seed``, first with others in place of the caption,
    then of the noise, which is ``noise`` times as large as in training."""
    drawn = [part * noise for part in run.noise(OTHERS + 1, seed)]
    others = other_captions(run, seed)
    same = [part[:1].expand(len(others), -1) for part in drawn]
    texts = [caption] * (OTHERS + 1) + others
    images = run.draw(texts, *(torch.cat(both) for both in zip(drawn, same, strict=True))).images[-1]
    plain, by_noise, by_caption = images[:1], images[1 : OTHERS + 1], images[OTHERS + 1 :]
    change = [(group.float() - plain.float()).abs().mean().item() for group in (by_caption, by_noise)]
    return Shuffled(others, by_caption, by_noise, *change)


class Panel:
    """The panel; ``Panel(run, "a red bird")`` as the last line of a cell shows it, and ``Panel()`` that of all released
    models. ``runs`` are those it can show, by name; a released one is read when it is chosen.

    Raises :class:`UserError` where there is no model at all, and for a caption that the first one cannot read.
    """

    def __init__(self, run: Run | None = None, caption: str | None = None, seed: int = 0):
        own = {} if run is None else {run.directory.name if run.is_released else run.config.name: run}
        others = sorted(released.NAMES, key=lambda name: name != FIRST)
        self.runs: dict[str, Run | None] = own | {name: None for name in others if name not in own}
        if not self.runs:
            problem = "No trained model comes with this checkout"
            raise UserError(problem, "Give the panel a run: Panel(run, caption).")
        self.drawing, self.kept, self.rows, self.made = False, None, [], {}
        self._controls(next(iter(self.runs)), seed)
        if caption is None:
            caption = CAPTION if not self.run.unread([CAPTION]) else other_captions(self.run, seed, 1)[0]
        self.caption.value = caption
        self._redraw()
        for control in self.controls:
            control.observe(lambda _: self.draw(), names="value")

    def _controls(self, model: str, seed: int) -> None:
        long, own = {"width": "95%"}, {"description_width": "initial"}
        text = dict(continuous_update=False, layout=long, style=own)
        self.caption = widgets.Text(description="caption", placeholder="Type, and press Enter", **text)
        self.second = widgets.Text(description="walk to", placeholder="a second caption, and Enter", **text)
        slide = dict(min=0.0, step=0.05, style=own, readout_format=".2f")
        self.way = widgets.FloatSlider(0.0, max=1.0, description="on the way", disabled=True, **slide)
        self.noise = widgets.FloatSlider(1.0, max=2.0, description="noise × ", **slide)
        self.seed = widgets.BoundedIntText(seed, min=0, max=9999, description="seed", layout={"width": "150px"})
        self.model = widgets.Dropdown(options=list(self.runs), value=model, description="model", style=own)
        self.stage = widgets.Dropdown(options=[("", 0)], description="stage", style=own)
        self.word = widgets.Dropdown(options=[ALL], description="word", style=own)
        self.shuffle = widgets.ToggleButton(False, description="shuffle", tooltip="what the caption is worth")
        self.note, self.picture = widgets.HTML(), widgets.HTML()
        chosen = [self.model, self.seed, self.noise, self.stage, self.word, self.shuffle]
        self.controls = [self.caption, self.second, self.way, *chosen]
        wrap = {"flex_flow": "row wrap"}
        lines = [self.caption, self.second, self.way, widgets.HBox(chosen, layout=wrap), self.note, self.picture]
        self.widget = widgets.VBox(lines)
        self.widget.add_class("t2i-panel")

    @property
    def run(self) -> Run:
        """The run that is chosen."""
        name = self.model.value
        if self.runs[name] is None:
            self.runs[name] = released.load(name)
        return self.runs[name]

    def draw(self) -> None:
        """Draw anew for the controls as they stand; a caption that cannot be read leaves the picture and says why."""
        if self.drawing:  # a control that this very drawing sets
            return
        self.note.value = _status("drawing …")
        self.widget.add_class("t2i-busy")
        try:
            self._redraw()
        except UserError as error:
            self.note.value = _status(f"{error} The picture is still that of before.")
            return
        self.widget.remove_class("t2i-busy")

    def _redraw(self) -> None:
        self.drawing, start = True, time.perf_counter()
        try:
            rows, notes = self._rows()
        finally:
            self.drawing = False
        self.rows, self.picture.value = rows, BUSY + tiles.page(rows)
        self.note.value = _status(" ".join([*notes, f"({time.perf_counter() - start:.2f} s)"]))
        if self.kept is not None:
            self.kept.update(self.bundle(), raw=True, metadata=self.metadata())

    def _rows(self) -> tuple[list[Row], list[str]]:
        """What is shown, and what is said about it."""
        run, first, second = self.run, self.caption.value, self.second.value.strip()
        noise = [part * self.noise.value for part in run.noise(1, self.seed.value)]
        self.way.disabled = not second
        way, notes = self.way.value if second else 0.0, run.unread([first, *([second] if second else [])])
        shares = torch.tensor([way, *np.linspace(0, 1, WALK)], dtype=torch.float32)
        made = self._once(
            (self.model.value, first, second, way, self.seed.value, self.noise.value),
            lambda: walk(run, first, second, shares, *noise) if second else run.draw([first], *noise),
        )
        caption = second if way > 0.5 else first
        stage = self._stages(made)
        rows = self._picture(made, stage, words_of(run, caption), caption)
        if second:
            steps = [
                Tile(made.images[-1][k + 1], f"{share:.2f}", f"{share:.0%} of the way to: {second}", SMALL)
                for k, share in enumerate(shares[1:].tolist())
            ]
            rows.append(Row("From the first caption to the second, under the same noise:", steps))
            words = "vector and every word's go" if run.reads_words else "vector goes"
            notes.append(f"The sentence's {words} straight from one caption to the other; the noise stays.")
        if self.shuffle.value:
            more, said = self._shuffle(run, caption)
            rows, notes = rows + more, [*notes, said]
        return rows, notes

    def _once(self, asked: tuple, make: Callable):
        """What ``make`` gives, made once for as long as the same is asked: a stage or a word needs no new picture."""
        if asked not in self.made:
            self.made = dict(list(self.made.items())[-1:]) | {asked: make()}
        return self.made[asked]

    def _stages(self, made: Drawn) -> int:
        """Offer the stages that the model has, and return the chosen one; the last where there are others now."""
        sizes = [image.shape[-1] for image in made.images]
        options = [(f"{k + 1}: {size} px", k) for k, size in enumerate(sizes)]
        if tuple(options) != self.stage.options:
            self.stage.options, self.stage.value = options, len(sizes) - 1
        return self.stage.value

    def _picture(self, made: Drawn, stage: int, words: Sequence[str], caption: str) -> list[Row]:
        """The picture of a stage and, where that is a refinement, where it looked up the words."""
        first = len(made.images) - len(made.attention)
        maps = made.attention[stage - first][0] if stage >= first else None
        options = [ALL, *(f"{k + 1} {word}" for k, word in enumerate(words))] if maps is not None else [ALL]
        if tuple(options) != self.word.options:
            with self.word.hold_trait_notifications():
                self.word.options, self.word.value = options, ALL
        self.word.disabled = maps is None
        image, model = made.images[stage][0], self.model.value
        shown = [Tile(image, f"{image.shape[-1]} px, seed {self.seed.value}", f"{model} draws: {caption}", BIG)]
        if maps is None:
            return [Row(caption, shown)]
        bright, chosen = lit(image, maps), options.index(self.word.value)
        where = [f"where {model} looked up the word {word!r}" for word in words]
        if chosen:
            return [Row(caption, [*shown, Tile(bright[chosen - 1], words[chosen - 1], where[chosen - 1], BIG)])]
        each = [Tile(one, word, alt, SMALL) for one, word, alt in zip(bright, words, where, strict=False)]
        return [Row(caption, shown), Row("Bright is where each word was looked up:", each)]

    def _shuffle(self, run: Run, caption: str) -> tuple[list[Row], str]:
        asked = caption, self.seed.value, self.noise.value
        found = self._once((self.model.value, *asked), lambda: shuffled(run, *asked))
        pairs = zip(found.by_caption, found.captions, strict=True)
        captions = [Tile(image, text, f"the same noise, and: {text}", SMALL) for image, text in pairs]
        noises = [Tile(image, f"noise {k}", f"other noise, and: {caption}", SMALL)
                  for k, image in enumerate(found.by_noise, start=1)]  # fmt: skip
        said = (
            f"Other captions change a pixel by {found.caption_change:.0f} of 255, other noise by"
            f" {found.noise_change:.0f}: {found.share:.0%} of what changes is the caption's."
        )
        rows = [Row("The same noise, other captions:", captions), Row("The same caption, other noise:", noises)]
        return rows, said

    def _ipython_display_(self) -> None:
        """The widget, and in an output of its own the picture that is left where widgets do not work."""
        display(self.widget)
        self.kept = display(self.bundle(), raw=True, metadata=self.metadata(), display_id=True)

    def bundle(self) -> dict[str, str]:
        """What is shown, without controls, by MIME type."""
        page = f'{KEPT}<div class="t2i-still">{tiles.page(self.rows)}</div>'
        picture = base64.b64encode(tiles.png(self.rows)).decode()
        return {"text/html": page, "image/png": picture, "text/plain": self.metadata()["image/png"]["alt"]}

    def metadata(self) -> dict[str, dict[str, str]]:
        """The description of the picture, where pages look for it."""
        return {"image/png": {"alt": self.rows[0].tiles[0].alt}}


def _status(text: str) -> str:
    return f'<div role="status" style="line-height:1.4">{html.escape(text)}</div>'
