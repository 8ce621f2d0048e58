"""The Aviary's captions: a small grammar that sounds like a crowd describing birds, and the way back from words to
facts.

Parts are left out and put in any order, "grey" and "gray", "beak" and "bill" stand for each other, and some sentences
do not say the colour of the body at all: an encoder has to read, it cannot count positions.
"""

import re

import numpy as np

COLOUR_WORDS = {c: c for c in ("red", "orange", "yellow", "green", "blue", "brown", "black", "white", "gray")} | {
    "grey": "gray"
}
_SIZE_WORDS = {
    "small": ("small", "tiny", "little"),
    "medium": ("medium sized", "medium-sized"),
    "large": ("large", "big"),
}
_POSE_WORDS = {
    "perched": ("sitting on a branch", "perched on a branch"),
    "standing": ("standing on the ground",),
    "flying": ("in flight", "flying"),
}


def write(bird: dict, rng: np.random.Generator) -> str:
    """One caption for the attributes in ``bird`` (a dict with the fields of ``Attributes``)."""

    def pick(*options: str) -> str:
        return options[rng.integers(len(options))]

    def chance(probability: float) -> bool:
        return bool(rng.random() < probability)

    def colour(name: str) -> str:
        return pick("gray", "grey") if name == "gray" else name

    def part(name: str) -> str:
        """A noun phrase for one part, as it follows "has" or "with"."""
        if name == "bill":
            length = f"{bird['bill_length']} " if chance(0.6) and bird["bill_length"] != "medium" else ""
            shade = f"{colour(bird['bill'])} " if chance(0.75) or not length else ""
            return f"a {length}{shade}{pick('bill', 'beak')}"
        if name == "tail":
            return f"a {bird['tail_length']} tail"
        if name == "bars":
            return pick("wing bars", "two wingbars", "wing bars")
        if name == "wing":
            return f"{colour(bird['wing'])} wings"
        if name == "belly":
            return f"a {colour(bird['belly'])} {pick('belly', 'belly', 'breast')}"
        return f"{article(colour(bird[name]))} {name}"

    def article(phrase: str) -> str:
        return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"

    def join(phrases: list[str]) -> str:
        if len(phrases) < 2:
            return "".join(phrases)
        return f"{', '.join(phrases[:-1])}{pick(',', '') if len(phrases) > 2 else ''} and {phrases[-1]}"

    candidates = ["crown", "belly", "wing", "bill"]
    candidates += ["tail"] * (bird["tail_length"] != "medium") + ["bars"] * bool(bird["wing_bars"])
    count = int(rng.choice([1, 2, 3, 4], p=[0.2, 0.4, 0.3, 0.1]))
    parts = [part(str(name)) for name in rng.permutation(candidates)[:count]]
    parts = [re.sub(r"^a (?=[aeiou])", "an ", phrase) for phrase in parts]
    size = f"{pick(*_SIZE_WORDS[bird['size']])} " if chance(0.35) else ""
    body = colour(bird["body"])
    ending = f" {pick(*_POSE_WORDS[bird['pose']])}" if chance(0.12) else ""

    form = int(rng.choice(6, p=[0.24, 0.24, 0.16, 0.14, 0.08, 0.14]))
    if form == 0:
        start, verb = pick("this", article(size + body).split()[0]), pick("has", "with") if chance(0.5) else "has"
        sentence = f"{start} {size}{body} bird {verb} {join(parts)}{ending}"
    elif form == 1:
        extent, color, verb = pick("", "mostly ", "all "), pick("", " in color"), pick("and has", "with")
        sentence = f"this {size}bird is {extent}{body}{color} {verb} {join(parts)}{ending}"
    elif form == 2:
        placed = [f"{article(body)} body", *parts]
        start, verb = pick("this", "a", "the"), pick("has", "with")
        sentence = f"{start} {size}bird {verb} {join([placed[i] for i in rng.permutation(len(placed))])}{ending}"
    elif form == 3:
        sentence = f"the body of this {size}bird is {body} and it has {join(parts)}{ending}"
    elif form == 4:
        sentence = f"{article(size + body)} bird{ending}{pick(' with', ', it has')} {join(parts)}"
    else:  # nothing said about the body
        sentence = f"{pick('this', 'the', 'a')} {size}bird {pick('has', 'with')} {join(parts)}{ending}"
    return sentence + pick(".", "")


_COLOUR = "(" + "|".join(COLOUR_WORDS) + ")"
_PATTERNS = {
    "crown": [rf"{_COLOUR} crown\b", rf"crown (?:is|of) {_COLOUR}"],
    "belly": [rf"{_COLOUR} (?:belly|breast)\b", rf"(?:belly|breast) is {_COLOUR}"],
    "wing": [rf"{_COLOUR} wings?\b(?! ?bars?)", rf"wings are {_COLOUR}"],
    "bill": [rf"{_COLOUR} (?:bill|beak)\b", rf"(?:bill|beak) is {_COLOUR}"],
    "body": [
        rf"{_COLOUR} body\b",
        rf"\b(?:body|body of this (?:[\w-]+ )*bird) is {_COLOUR}",
        rf"{_COLOUR}(?: colou?red)? bird\b",
        rf"bird(?: that)? is (?:mostly |all )?{_COLOUR}",
    ],
}


def named_attributes(caption: str) -> dict:
    """What a caption says, as attribute -> value; attributes it does not mention are absent.

    Understands the grammar above and plain sentences built like it. Numbers, negations and comparisons are not read.
    """
    text = re.sub(r"[^a-z\- ]+", " ", caption.lower())
    text = re.sub(r" +", " ", text)
    named: dict = {}
    for attribute, patterns in _PATTERNS.items():
        for pattern in patterns:
            if match := re.search(pattern, text):
                named[attribute] = COLOUR_WORDS[match.group(1)]
                break
    for attribute, nouns in (("bill_length", "bill|beak"), ("tail_length", "tail")):
        if match := re.search(rf"\b(short|medium|long)(?: [a-z]+)? (?:{nouns})\b", text):
            named[attribute] = match.group(1)
    if re.search(r"\bwing ?bars?\b", text):
        named["wing_bars"] = True
    for size, words in _SIZE_WORDS.items():
        if re.search(rf"\b(?:{'|'.join(words)}) (?:{'|'.join(COLOUR_WORDS)} )?bird\b", text):
            named["size"] = size
    for pose, words in _POSE_WORDS.items():
        if re.search(rf"\b(?:{'|'.join(words)})\b", text):
            named["pose"] = pose
    return named
