"""``evaluate(run)``: everything that the course measures of a run, in one record."""

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_fidelity import FeatureExtractorBase

from t2i import data, device
from t2i.data.dataset import ImageTextDataset, rng_for
from t2i.errors import UserError
from t2i.metrics import conditioning, extractors, protocols, records, table
from t2i.metrics.metric import Metric
from t2i.metrics.protocols import Protocol
from t2i.progress import tqdm
from t2i.training import obtain
from t2i.training.run import Run

BATCH = 32  # pictures that are shown at once where a run does not draw them


def evaluate(
    run: Run,
    metrics: Sequence[str] | None = None,
    protocol: str | None = None,
    *,
    weights: Path | str | None = None,
    clip: Path | str | None = None,
    write: bool = True,
) -> dict:
    """Measure ``run`` on the unseen split of its data and return the record, as :func:`records.make` describes it.

    ``metrics`` are names from :data:`table.METRICS`, by default all that apply to the run and are not ``on_request``.
    ``protocol`` names how pictures are compared with real ones, and how many are drawn (default: the one of the run's
    config); ``weights`` is the file with those of its extractor, and ``clip`` the one with CLIP's, where they do not
    lie at their usual place. With ``write`` the record is kept in the run folder, as ``result.json`` for the default
    protocol and ``result-<protocol>.json`` for any other; a record of some metrics leaves the other figures that are
    there as they are, and is returned with them. Nothing is written beside a released model. torch's random generator
    is left as it was.

    Raises :class:`UserError` for an unknown protocol or metric, for a metric that does not apply, for missing weights,
    and where the figures that are there belong to another state of the run.
    """
    started = time.perf_counter()
    write = write and not run.is_released
    default = run.config.evaluation_protocol
    name = protocol or default
    if run.is_encoder and name != default:
        problem = f"{run.config.model} is measured by {default}, not by {name}"
        raise UserError(problem, "Leave --protocol out: it chooses how the pictures of a generator are measured.")
    chosen, left_out = table.choose(run, metrics)
    evaluation = Evaluation(run, None if run.is_encoder else protocols.get(name), weights, clip)
    own = evaluation.protocol.name if evaluation.protocol else name
    file = run.directory / (records.NAME if name == default else f"result-{own}.json")
    earlier = records.earlier(file, run) if write and metrics is not None else None

    chosen, impossible = _possible(chosen, evaluation, named=metrics is not None)
    left_out |= impossible
    evaluation.metrics = chosen
    figures, names = {}, {}
    with torch.random.fork_rng(devices=[]):
        for metric in chosen:
            figures |= metric.measure(evaluation)
            names[metric.name] = metric.protocol(evaluation)
            evaluation.forget(metric)
    record = records.make(
        run.config,
        figures | evaluation.counts,
        evaluation.protocol or name,
        names,
        steps=run.state["step"],
        train_seconds=run.state.get("seconds"),
        eval_seconds=round(time.perf_counter() - started, 1),
        extra=evaluation.notes | left_out,
        data=run.state.get("data", ""),
        origin=records.origin(run),
        finished=run.state.get("finished"),
    )
    if write:
        record = records.merged(earlier, record)
        records.write(file.parent, record, file.name)
    return record


def _possible(chosen: list[Metric], evaluation: "Evaluation", named: bool) -> tuple[list[Metric], dict[str, str]]:
    """Those of ``chosen`` that the unseen images allow, and a note for each other; :class:`UserError` where metrics
    were ``named``."""
    possible, left_out = [], {}
    for metric in chosen:
        lacking = metric.lacking(evaluation.unseen)
        if lacking and named:
            mend = "See what the set can carry: python -m t2i data check."
            raise UserError(f"{metric.name} cannot be measured: {lacking}", mend)
        if lacking:
            left_out[metric.name] = f"left out: {lacking}"
            tqdm.write(f"{metric.name} is left out: {lacking}")
        else:
            possible.append(metric)
    return possible, left_out


class Evaluation:
    """What the metrics of one run share; each part is made once, when it is first asked for.

    Pictures are shown to the metrics batch by batch and not kept: the first of ``metrics`` that asks for what it saw
    starts the one pass in which all of them look. ``protocol`` is None for an encoder, which draws nothing; ``weights``
    is a file for its extractor, ``clip`` one for CLIP. ``notes`` is what the record keeps besides figures.
    """

    def __init__(
        self,
        run: Run,
        protocol: Protocol | None = None,
        weights: Path | str | None = None,
        clip: Path | str | None = None,
    ):
        self.run, self.protocol, self.weights, self.clip, self.seed = run, protocol, weights, clip, run.config.seed
        self.metrics: list[Metric] = []
        self.notes: dict = {}
        self._generated: Tensor | None = None
        self._of_generated: dict[str, dict[str, Tensor]] = {}

    @cached_property
    def unseen(self) -> ImageTextDataset:
        """The unseen split, as the run's config prepares images."""
        config, root = self.run.config, data.root(self.run.config)
        if config.root and not root.is_dir():
            problem = f"There is no folder {root}, where {config.name} found its data"
            raise UserError(problem, "Say where they lie now, with --root.")
        index = data.load(config)
        index = index.with_words() if self.run.reads_words else index
        if not self.run.is_released:  # whose birds were drawn, and packed into files, on another machine
            obtain.check_digest(self.run.state, index.digest(), config, self.run.directory)
        return ImageTextDataset.from_config(self.run.config, index, "test")

    @cached_property
    def _asked(self) -> tuple[list[str], np.ndarray]:
        return test_captions(self.unseen, self.protocol.images, self.seed)

    @property
    def captions(self) -> list[str]:
        """What the pictures are drawn for: as many captions of unseen images as the protocol has pictures."""
        return self._asked[0]

    @property
    def numbers(self) -> np.ndarray:
        """The images in ``unseen`` that the captions belong to: (N,)."""
        return self._asked[1]

    @cached_property
    def order(self) -> np.ndarray:
        """A deal of the captions in which none stays in its place: picture k gets caption ``order[k]``, (N,)."""
        self.notes["shuffled_captions"] = "each picture is judged by the caption of another, drawn at random"
        return np.array(conditioning.shuffle(range(len(self.captions)), self.seed))

    @property
    def shuffled_captions(self) -> list[str]:
        return [self.captions[k] for k in self.order]

    @cached_property
    def extractor(self) -> FeatureExtractorBase:
        """The network in whose features pictures are compared, on the device."""
        return extractors.load(self.protocol, device.choose(self.run.device), self.weights)

    def of_generated(self, metric: Metric) -> dict[str, Tensor]:
        """What ``metric`` keeps of the picture of each caption: name -> (N, ...)."""
        if not self._of_generated.get(metric.name):
            together = {m.name: m for m in (metric, *self.metrics)}.values()
            given = self._generated is not None
            batches = self.generated.split(BATCH) if given else self.run.stream(self.captions, seed=self.seed)
            self._of_generated |= self._shown(batches, len(self.captions), together, "drawing pictures")
        return self._of_generated[metric.name]

    def forget(self, metric: Metric) -> None:
        """Let go of what ``metric`` kept of the pictures: the features of 30,000 take 370 MB."""
        if metric.name in self._of_generated:
            self._of_generated[metric.name] = {}

    def of_real(self, metric: Metric) -> dict[str, Tensor]:
        """What ``metric`` keeps of the middle crops of all unseen images: name -> (M, ...)."""
        shown = self._shown(self.unseen.middles(), len(self.unseen), [metric], "looking at real images")
        return shown[metric.name]

    @torch.no_grad()
    def _shown(
        self, batches: Iterable[Tensor], total: int, metrics: Iterable[Metric], what: str
    ) -> dict[str, dict[str, Tensor]]:
        """What each of ``metrics``, by name, keeps of ``total`` pictures."""
        kept, done = {metric.name: {} for metric in metrics}, 0
        with ExitStack() as looking, tqdm(total=total, desc=what, unit="picture", delay=2) as bar:
            looks = {metric.name: looking.enter_context(metric.look(self)) for metric in metrics}
            for pictures in batches:
                rows = slice(done, done := done + len(pictures))
                for name, look in looks.items():
                    for key, found in look(pictures).items():
                        if key not in kept[name]:
                            kept[name][key] = found.new_empty(total, *found.shape[1:], device="cpu")
                        kept[name][key][rows] = found
                bar.update(len(pictures))
        return kept

    @property
    def generated(self) -> Tensor:
        """All pictures at once: uint8 (N, 3, s, s). Whoever sets it has these measured instead of the run's own."""
        if self._generated is None:
            self._generated = self.run.generate(self.captions, seed=self.seed)
        return self._generated

    @generated.setter
    def generated(self, pictures: Tensor) -> None:
        self._generated = pictures
        self._of_generated.clear()  # what was kept of others

    @property
    def counts(self) -> dict[str, int | None]:
        """How many pictures were drawn (None: none were), and how many unseen images there are."""
        drawn = self._of_generated or self._generated is not None
        return {"generated_count": len(self.captions) if drawn else None, "real_count": len(self.unseen)}


def test_captions(unseen: ImageTextDataset, count: int, seed: int) -> tuple[list[str], np.ndarray]:
    """``count`` captions of unseen images, and the numbers of their images: every image in turn, or so many drawn at
    random where there are more."""
    numbers = np.arange(count) % len(unseen)
    if len(unseen) > count:
        numbers = rng_for(seed, 0, "evaluation images").choice(len(unseen), count, replace=False)
    drawn = unseen.captions(numbers, rng_for(seed, 0, "evaluation captions"))
    return [caption for (caption,) in drawn], numbers


def real_images(unseen: ImageTextDataset) -> Tensor:
    """The middle crops of all unseen images: uint8 (N, 3, s, s)."""
    return torch.cat(list(unseen.middles()))
