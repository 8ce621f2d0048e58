"""Which keys of a file are those of one network: whatever it was wrapped in, and whatever else lies beside it."""

from collections.abc import Iterable, Mapping

from torch import Tensor

from t2i.errors import UserError

# What torch and its helpers put into keys for a module around another: data parallelism, compilation, sharding.
WRAPPERS = frozenset(
    ["module", "_orig_mod", "_forward_module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_module"]
)


def flat(weights: Mapping, before: str = "") -> dict[str, Tensor]:
    """The tensors of nested containers by their joined keys; step counts, settings and optimisers are left out."""
    found: dict[str, Tensor] = {}
    for key, value in weights.items():
        if not isinstance(key, str):
            continue
        if isinstance(value, Tensor):
            found[before + key] = value
        elif isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
    return found


def choose(found: Mapping[str, Tensor], wanted: Iterable[str], name) -> dict[str, str]:
    """``{wanted key: key of the file}`` of the part of a file that has the ``wanted`` keys under any prefix.

    Where no part has them all, that of the most likely part, extra keys with it, so that what does not fit can be
    named. Raises :class:`UserError` where several parts have them.
    """
    wanted = list(wanted)
    parts = _parts(found, wanted)
    whole = [prefix for prefix, part in parts.items() if _is_whole(part, wanted)]
    if len(whole) > 1:
        names = ", ".join(prefix.rstrip(".") or "the file itself" for prefix in whole)
        raise UserError(f"{name} holds several networks of this kind ({names})", "Save the one that is meant alone.")
    best = whole[0] if whole else max(parts, key=lambda prefix: _likeness(parts[prefix], wanted), default="")
    return parts.get(best, {})


def fitting(found: Mapping[str, Tensor], wanted: list[str]) -> dict[str, str] | None:
    """:func:`choose` where one part fits, None elsewhere."""
    parts = [part for part in _parts(found, wanted).values() if _is_whole(part, wanted)]
    return parts[0] if len(parts) == 1 else None


def _parts(found: Mapping[str, Tensor], wanted: list[str]) -> dict[str, dict[str, str]]:
    """For every prefix in the file the keys below it, by the wanted names of those that are wanted."""
    official = {_bare(key): key for key in wanted}
    bare = {key: _bare(key) for key in found}
    first = {key.split(".")[0] for key in official}
    prefixes = {""}
    for key in bare.values():
        steps = key.split(".")
        prefixes |= {"".join(f"{step}." for step in steps[:k]) for k in range(1, len(steps)) if steps[k] in first}
    parts = {}
    for prefix in sorted(prefixes):
        below = {key: name.removeprefix(prefix) for key, name in bare.items() if name.startswith(prefix)}
        parts[prefix] = {official.get(name, name): key for key, name in below.items()}
    return parts


def _bare(key: str) -> str:
    return ".".join(step for step in key.split(".") if step not in WRAPPERS) or key


def _is_whole(part: Mapping[str, str], wanted: list[str]) -> bool:
    return _counted(part) == _counted(wanted)


def _likeness(part: Mapping[str, str], wanted: list[str]) -> tuple[int, int]:
    own, theirs = _counted(part), _counted(wanted)
    return len(own & theirs), -len(own - theirs)


def _counted(keys: Iterable[str]) -> set[str]:
    """Without the counters of batch norms, which older files lack."""
    return {key for key in keys if not key.endswith("num_batches_tracked")}
