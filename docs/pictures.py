"""The gallery: what each released model draws for six captions of the kind of things that it knows, and where it looks
for words."""

import io
from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from t2i import released
from t2i.data.captions import tokenise
from t2i.notebook import captions_for
from t2i.training import Run

SIDE, SEED = 64, 0  # pixels of a picture; the page enlarges it


def gallery() -> str:
    """For each kind of things that are drawn a table in HTML: a row for each caption, a column for each model."""
    kinds: dict[tuple[str, ...], dict[str, Run]] = {}
    for name in released.NAMES:
        run = released.load(name)
        kinds.setdefault(captions_for(run.config.data_name), {})[name] = run
    return "".join(_table(captions, models) for captions, models in kinds.items())


def _table(captions: Sequence[str], models: Mapping[str, Run]) -> str:
    drawn = {name: _strips(run, captions) for name, run in models.items()}
    head = "".join(
        f'<th scope="col"><a href="data/released/{name}/README.html">{name.rpartition("-")[0]}</a></th>'
        for name in drawn
    )  # without the data, which a table has in common
    rows = []
    for caption in captions:
        cells = "".join(_cell(name, caption, strips[caption]) for name, strips in drawn.items())
        rows.append(f'<tr><th scope="row">{_buttons(caption)}</th>{cells}</tr>')
    body = "\n".join(rows)
    return (
        f'\n<div class="scroll"><table class="gallery">\n<thead><tr><th></th>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>\n"
    )


def _strips(run: Run, captions: Sequence[str]) -> dict[str, Tensor]:
    """For each caption the picture and, where the model looks at words, the picture under the last refinement's map of
    each word of the caption: (1 or 1 + T, SIDE, SIDE, 3) uint8."""
    noise, eps = (part.repeat(len(captions), 1) for part in run.noise(1, SEED))
    made = run.draw(list(captions), noise, eps)
    pictures = made.images[-1].float()
    pictures = F.interpolate(pictures, (SIDE, SIDE), mode="area" if pictures.shape[-1] > SIDE else "nearest")
    maps = made.attention[-1].float() if made.attention else None
    return {
        caption: _shaded(picture, maps[i] if maps is not None else None, _places(run, caption))
        for i, (caption, picture) in enumerate(zip(captions, pictures, strict=True))
    }


def _places(run: Run, caption: str) -> list[int | None]:
    """For each word of the caption its place among those that the model reads; None for one that it passes over."""
    places, known = [], run.encoder.vocabulary.ids if run.reads_words else ()
    for word in tokenise(caption):
        places.append(sum(place is not None for place in places) if word in known else None)
    return places


def _shaded(picture: Tensor, maps: Tensor | None, places: list[int | None]) -> Tensor:
    strip = [picture]
    if maps is not None:
        low, high = maps.amin(dim=(1, 2), keepdim=True), maps.amax(dim=(1, 2), keepdim=True)
        light = F.interpolate(((maps - low) / (high - low).clamp(min=1e-12))[None], (SIDE, SIDE), mode="bilinear")[0]
        strip += [picture if place is None else picture * (0.12 + 0.88 * light[place]) for place in places]
    return torch.stack(strip).round().to(torch.uint8).permute(0, 2, 3, 1)


def _buttons(caption: str) -> str:
    words = enumerate(tokenise(caption), 1)
    return " ".join(f'<button type="button" class="word" data-word="{k}">{escape(word)}</button>' for k, word in words)


def _cell(name: str, caption: str, strip: Tensor) -> str:
    buffer = io.BytesIO()
    Image.fromarray(torch.cat(list(strip), dim=1).numpy()).save(buffer, format="PNG", optimize=True)
    picture = b64encode(buffer.getvalue()).decode()
    text = escape(f"{name}: {caption}", quote=True)
    return f'<td><img src="data:image/png;base64,{picture}" alt="{text}" style="--words: {len(strip) - 1}"></td>'
