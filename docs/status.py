"""How far the course reproduces the papers, as tables in README.md: ``python docs/status.py`` writes them anew there.

Figures come from the records in data/results and data/released; what each model was held against is said here, and
tests/parity and tests/unit/models hold it.
"""

import tempfile
from pathlib import Path

from t2i import compare, paths, results
from t2i import config as configs
from t2i.metrics.table import columns

START, END = "<!-- status: python docs/status.py -->\n", "<!-- end of status -->\n"
README = paths.checkout() / "README.md"
OFFICIAL = "official code: pictures, losses, gradients, checkpoints"
HELD = {  # model: what its code is held against
    "GAN-CLS": "parameter counts of the authors' scripts",
    "StackGAN Stage-I CNN": OFFICIAL,
    "StackGAN Stage-I ResBlock": "a transcription of the report's words; it gives no layers",
    "StackGAN Stage-I SE block": "a transcription of the report's words; it gives no layers",
    "StackGAN Stage-II ResBlock": f"{OFFICIAL} (with the plain Stage-I)",
    "AttnGAN": f"{OFFICIAL}, two training steps",
    "DM-GAN": f"{OFFICIAL}, two training steps",
    "AttnDM-GAN": "its parts: those of AttnGAN and DM-GAN",
    "DMAttn-GAN": "its parts: those of AttnGAN and DM-GAN",
    "MTWIG w/ DM-GAN refinement": "the paper's equations and parameter count; no code was published",
    "MTWIG w/ SDM refinement": "the paper's equations and parameter count; no code was published",
    "MSMT-GAN": "the paper's equations and parameter counts; no code was published",
}
SHOWN = ("FID", "body color seen", "belly color seen", "wing color seen", "crown color seen", "pose seen")


def table() -> str:
    """Markdown: models of drawn birds, a row for each training, the released ones first; then models of photographs."""
    with tempfile.TemporaryDirectory() as nothing:  # whoever makes this may have runs of their own
        found = results.labelled(results.collect(runs_root=nothing))
    of_flowers = sorted(found[(found["origin"] == "released") & (found["dataset"] == "flowers")]["path"].map(_folder))
    found = found[found["dataset"].isin(configs.DRAWN)]
    known = columns()
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for title in SHOWN:
        for row in results.own_rows(found, known[title]):
            place = cells.setdefault((row["method"], f"{row['run']}, on {row['dataset']}"), {})
            place[known[title].heading] = row["text"].removesuffix(f" (n = {row['n']})")
    heads = [known[title].heading for title in SHOWN]
    lines = [["model", "held against", "trained", *heads], ["---"] * 3 + ["---:"] * len(heads)]
    for method, held in HELD.items():
        rows = sorted((key for key in cells if key[0] == method), key=lambda key: "released" not in key[1])
        for number, key in enumerate(rows):
            figures = [cells[key].get(head, results.EMPTY) for head in heads]
            lines.append([method if number == 0 else "", held if number == 0 else "", key[1], *figures])
    birds = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    return birds + (f"\n{results.to_markdown(compare.of_photographs(of_flowers))}\n" if of_flowers else "")


def _folder(path: str) -> str:
    return Path(path).parent.name


def parts(text: str) -> tuple[str, str, str]:
    """What stands before, within and behind the marks of the table."""
    before, _, rest = text.partition(START)
    within, _, behind = rest.partition(END)
    return before, within, behind


def write(file: Path = README) -> None:
    before, _, behind = parts(file.read_text(encoding="utf-8"))
    made = f"{before}{START}{table()}{END}{behind}"
    paths.write_atomically(file, lambda temporary: temporary.write_text(made, encoding="utf-8"))


if __name__ == "__main__":
    write()
