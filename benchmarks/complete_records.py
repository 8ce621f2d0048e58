"""Write what can still be known into records that older commits made: ``python benchmarks/complete_records.py``.

``t2i.metrics.records.read`` completes what it reads, from the settings beside a record: where the weights come from,
how real pictures were prepared, whether the training ended, its settings without the seed. Here this is written down,
for the records in ``data/results`` and ``data/released``, with the protocol of each metric. A judge is named where its
weights are there, in a released model; a digest of the data that was never taken stays unknown. Run twice, it changes
nothing.
"""

import json
import sys
from pathlib import Path

from t2i import paths, released
from t2i.metrics import records
from t2i.metrics.protocols import short
from t2i.metrics.table import METRICS
from t2i.training.run import Run


def protocols(record: dict, run: Run | None, trials: int | None) -> dict[str, str]:
    """The protocol of each metric whose figures are in ``record``, as evaluation names it now; ``trials`` are those of
    a DAMSM's R-precision of real pictures."""
    known = dict(record["protocols"])
    drawn, real = record["generated_count"], record["real_count"]
    if drawn is None:
        classes = round(1 / record["metrics"]["chance"])
        older = {"zero_shot": f"zero-shot-{classes}", "retrieval": f"recall-{min(100, real)}"}
        older |= {"real_r_precision": f"r-precision-{short(trials)}"} if trials else {}
    else:
        older = {"fidelity": record["protocol"], "r_precision": f"r-precision-{short(drawn)}"}
        older |= {"matching": f"matching-{min(500, real)}", "attributes": f"attributes-{short(drawn)}-aviarynet1"}
    for name, protocol in older.items():
        measured = any(column.key in record["metrics"] for column in METRICS[name].columns)
        if measured and (name not in known or known[name] == "attributes-aviarynet1"):
            known[name] = protocol
    for name in ("r_precision", "matching"):
        if run and name in known and not known[name].endswith(run.encoders.digest):
            known[name] = records.judged(known[name], run)
    return known


def complete(path: Path) -> bool:
    """Bring the record at ``path`` up to date; whether that changed it."""
    before, record = path.read_bytes(), records.read(path)
    run = released.load(path.parent.name) if path.parent.parent == paths.released() else None
    settings = json.loads((path.parent / "config.json").read_text(encoding="utf-8"))
    record["protocols"] = protocols(record, run, settings.get("trials"))
    if run:
        record |= {"origin": "released", "finished": run.state["finished"]}
    paths.write_json(path, record)
    return path.read_bytes() != before


def main() -> int:
    files = [*paths.recorded_results().glob("*/result*.json"), *paths.released().glob("*/result*.json")]
    changed = sum(map(complete, sorted(files)))
    print(f"{changed} of {len(files)} records changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
