"""The commands of ``python -m t2i COMMAND``: what a lesson does, one function each."""

import math
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro

from t2i import config as configs
from t2i import paths
from t2i.errors import UserError

app = tyro.extras.SubcommandApp()
Root = Annotated[Path | None, tyro.conf.arg(help="where the data set lies; default: $T2I_DATA/<dataset>")]


@app.command
def data(
    action: Annotated[Literal["prepare", "check"], tyro.conf.Positional],
    dataset: str,
    root: Root = None,
    images: Path | None = None,
    captions: Path | None = None,
    size: int | None = None,
) -> None:
    """Fetch, draw or check a data set.

    Args:
        action: prepare (download, draw or import) or check (decode every image, read every caption).
        dataset: a name (python -m t2i doctor lists them), or "folder" for pictures of your own.
        images: for "folder": where your images are.
        captions: for "folder": a CSV with the columns file and caption (and class and split, if you have them).
        size: for "aviary" and "aviary-200": the side of the pictures in pixels (128).
    """
    from t2i import data as rooms
    from t2i.data.check import check

    settings = configs.load("gan-cls", dataset)  # knows a prepared folder by its path
    root = root or rooms.root(settings)
    if action == "prepare":
        options = {"images": images, "captions": captions, "size": size}
        given = {name: value for name, value in options.items() if value is not None}
        rooms.prepare(settings.dataset, root, **given)
    report = check(rooms.read(settings.dataset, root))
    print(report.text())
    if report.problems:
        sys.exit(1)


@app.command
def train(model: Annotated[str, tyro.conf.Positional]) -> None:
    """Train a model, or continue a run that was stopped; train MODEL --help shows every setting of the model."""
    train_by([model])


def train_by(arguments: list[str]) -> None:
    """``train`` reads its options itself, because the model decides what they are."""
    from t2i import options
    from t2i.training import fit

    task = options.read(arguments)
    run = fit(task.config, directory=task.directory, resume=task.resume)
    if int(os.environ.get("RANK", 0)) == 0:
        print(f"{run.config.name}: {run.state['step']:,} steps, in {run.directory}")


@app.command
def sample(
    captions: Annotated[tuple[str, ...], tyro.conf.Positional],
    run: Path,
    out: Path = Path("sample.png"),
    count: int = 8,
    seed: int = 0,
) -> None:
    """Draw pictures for captions: one row per caption.

    Args:
        captions: each in quotes: "a red bird with a short black bill".
        run: a run folder, or released:NAME for a model that comes with the course.
        out: the picture to write, in the format of its suffix (.png, .jpg, .webp, ...).
        count: pictures per caption.
    """
    from t2i import formats, plots, released

    if not captions:
        raise UserError(
            "There is no caption to draw", 'Write one in quotes: python -m t2i sample --run DIR "a red bird"'
        )
    if count < 1:
        raise UserError(f"--count {count} draws nothing", "Ask for at least one picture.")
    if seed < 0:
        raise UserError(f"--seed {seed} is below zero", "Give a number from 0 on.")
    trained = released.run(run)
    formats.check(out, *plots.sheet_size(len(captions) * count, count, trained.config.image_size))
    for note in trained.unread(list(captions)):
        print(f"note: {note}", file=sys.stderr)
    plots.save_sheet(trained.sample(list(captions), count, seed), count, out)
    print(out)


@app.command
def evaluate(
    run: Path,
    metric: tuple[str, ...] = (),
    protocol: str | None = None,
    weights: Path | None = None,
    clip: Path | None = None,
    json_file: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
    root: Root = None,
) -> None:
    """Measure a run on the unseen split and write result.json into its folder.

    Args:
        run: a run folder, or released:NAME for a model that comes with the course.
        metric: names such as fidelity r_precision; other figures of the same state of the run are kept. Default: all.
        protocol: a named protocol such as fid2k-aviarynet1; default: the profile's.
        weights: the file of the protocol's network, where it does not lie at its usual place.
        clip: the same of CLIP's, for the metric clip_r_precision.
        json_file: also write the record here, into a file of its own.
        root: where the run's data lie now, if they were moved.
    """
    from t2i import released
    from t2i.metrics import records
    from t2i.metrics.evaluate import evaluate as measure

    if json_file:
        records.check_copy(json_file)
    record = measure(released.run(run).at(root), metric or None, protocol, weights=weights, clip=clip)
    if json_file:
        paths.write_json(json_file, record)
    width = max(map(len, record["metrics"])) + 2
    for name, value in record["metrics"].items():
        print(f"{name:<{width}}{'–' if value is None else f'{value:.4g}'}")


@app.command
def table(
    dataset: str | None = None,
    profile: str | None = None,
    size: int | None = None,
    published: bool = False,
    form: Annotated[Literal["markdown", "csv", "json"] | None, tyro.conf.arg(name="format")] = None,
    out: Path | None = None,
) -> None:
    """What was measured on a data set, and what is published on it: a column for each figure and protocol.

    Args:
        dataset: a name, or a prepared folder; default: aviary.
        profile: only runs of this profile.
        size: only runs whose pictures have this side in pixels.
        published: instead, the tables of the papers that the course reproduces; default: on every data set.
        form: default: what the suffix of --out says, or markdown.
        out: write the tables into this file.
    """
    from t2i import tables

    form = tables.form_of(out, form)
    shown = tables.summary(dataset, profile, size, form, published)
    if out is None:
        print(shown)
    else:
        tables.write(out, shown)
        print(out)


@app.command
def record(
    models: Annotated[tuple[str, ...], tyro.conf.Positional],
    dataset: str = "aviary",
    profile: str = "cpu",
    seeds: tuple[int, ...] = (0, 1, 2),
    parallel: int = 1,
    seconds: float = math.inf,
    out: Path | None = None,
    text_encoder: str | None = None,
) -> None:
    """Train and measure models with several seeds; the figures in data/results are what the lessons' tables show.

    Args:
        models: names of the zoo or encoders, such as attngan dm-gan attndm-gan dmattn-gan; or folders of finished runs,
            which are measured and kept.
        seeds: one run for each.
        parallel: so many trainings at once on one device, for a GPU that one does not fill; OMP_NUM_THREADS divides
            the cores of a CPU among them.
        seconds: after which trainings are stopped, and measured as they are; the same command goes on with them.
        out: the folder for the records; default: data/results in the checkout.
        text_encoder: what all read with, the folder of an encoder's run or released:NAME; default: one for each seed,
            by which R-precision is then judged, so that it has a column for each.
    """
    from t2i import recording

    for folder in recording.record(models, dataset, profile, seeds, parallel, seconds, out, text_encoder):
        print(folder)


@app.command
def follow(
    models: Annotated[tuple[str, ...], tyro.conf.Positional],
    steps: int,
    points: int = 6,
    dataset: str = "aviary",
    profile: str = "cpu",
    seeds: tuple[int, ...] = (0, 1, 2),
) -> None:
    """Train models for any number of steps and measure them on the way; the lessons draw data/results/*/curve.json.

    Args:
        models: names of the zoo, such as stackgan-cnn stackgan-res stackgan-se.
        steps: where the training ends.
        points: so many measurements, at equal distances.
        seeds: one run for each.
    """
    from t2i import recording

    for file in recording.follow(models, dataset, profile, seeds, steps, points):
        print(file)


@app.command
def release(
    run: Annotated[str, tyro.conf.Positional], name: Annotated[str, tyro.conf.Positional], out: Path | None = None
) -> None:
    """Make a released model of a trained GAN: float16 weights, figures, a sheet, a card.

    Args:
        run: a run folder, or released:NAME for a model that is released already, to measure it anew.
        name: what it is called from then on, such as attngan-aviary.
        out: the folder in which the model gets one of its name; default: data/released in the checkout.
    """
    from t2i import released

    print(released.release(released.run(run), name, out))


@app.command
def course(profile: str = "cpu", dataset: str = "aviary", seed: int | None = None, only: tuple[str, ...] = ()) -> None:
    """Run the lessons in order with papermill.

    Args:
        only: numbers or names of single lessons, such as 00 or 04_gan_cls.
    """
    from t2i import course as lessons

    lessons.run(profile, dataset, seed, only or None)


@app.command
def lab(browser: bool = True, port: int = 8888) -> None:
    """Open the tour in JupyterLab; the lessons there are copies in workbook/, which git ignores.

    Args:
        browser: open it in the browser; --no-browser only prints its address.
        port: where it listens, or the next one that is free.
    """
    from t2i import workbook

    if status := workbook.open_lab(browser, port):
        sys.exit(status)


@app.command
def refresh(names: Annotated[tuple[str, ...], tyro.conf.Positional] = (), profile: str = "smoke") -> None:
    """Re-make the committed outputs of the notebooks (all, or the named ones) under ``profile``."""
    from t2i import course as lessons

    for notebook in lessons.refresh(names or None, profile):
        print(notebook)


@app.command(name="import")
def import_(
    kind: Annotated[str, tyro.conf.Positional],
    file: Annotated[Path, tyro.conf.Positional],
    captions: Path | None = None,
    image_encoder: Path | None = None,
    text_encoder: Path | None = None,
) -> None:
    """Turn a released checkpoint into a run folder that the other commands use.

    Args:
        kind: which checkpoint it is, such as char_cnn_rnn_birds_icml or attngan_cub_RNN_ENCODER.
        file: the .pth file.
        captions: for text encoders of words: the captions.pickle of the release, if it does not lie beside the file.
        image_encoder: for these too: image_encoderN.pth, if it does not lie beside text_encoderN.pth.
        text_encoder: for generators: the folder of the imported text encoder, if it is not the one of the same release.
    """
    from t2i import official

    print(official.import_run(kind, file, captions, image_encoder, text_encoder))


@app.command
def doctor() -> None:
    """Say what this machine has: versions, device, folders, data sets and weights, and what to put where."""
    from t2i.doctor import report

    print(report())
