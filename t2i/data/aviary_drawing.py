"""How a bird of the Aviary is drawn: a few smooth polygons in the bird's own coordinates, then Pillow.

The bird looks to the left, the centre of its body is (0, 0), half its body length is 1 and y points down. Everything
is drawn three times too large and averaged, which gives clean edges at any size.
"""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

COLOURS = {
    "red": (206, 34, 40),
    "orange": (246, 138, 20),
    "yellow": (250, 222, 50),
    "green": (56, 146, 62),
    "blue": (44, 92, 206),
    "brown": (104, 62, 30),
    "black": (26, 26, 32),
    "white": (250, 250, 247),
    "gray": (132, 138, 148),
}
LENGTHS = {"short": 0, "medium": 1, "long": 2}
BODY_LENGTH = {"small": 0.165, "medium": 0.195, "large": 0.225}  # half a body, as a share of the picture's side
TILT = {"perched": 24.0, "standing": 6.0, "flying": -6.0}  # degrees by which the breast is raised
SUPERSAMPLING = 3

BODY = [(-0.72, -0.42), (-0.97, 0.02), (-0.84, 0.40), (-0.40, 0.66), (0.20, 0.58), (0.74, 0.28), (1.04, 0.02),
        (0.74, -0.20), (0.22, -0.44), (-0.30, -0.54)]  # fmt: skip
BELLY = [
    (-0.86, 0.30),
    (-0.72, 0.49),
    (-0.40, 0.64),
    (0.20, 0.56),
    (0.66, 0.30),
    (0.28, 0.38),
    (-0.20, 0.40),
    (-0.60, 0.30),
]
WING = [
    (-0.34, -0.16),
    (-0.34, 0.06),
    (-0.08, 0.24),
    (0.42, 0.24),
    (1.08, 0.12),
    (0.74, -0.08),
    (0.22, -0.24),
    (-0.12, -0.26),
]
RAISED_WING = [(-0.40, -0.28), (-0.22, 0.02), (0.26, 0.02), (0.62, -0.50), (0.98, -1.34), (0.46, -1.12), (0.00, -0.78)]
FAR_WING = [(-0.46, -0.34), (-0.10, -0.20), (0.24, -0.66), (0.42, -1.30), (0.02, -1.10), (-0.32, -0.80)]


def _smooth(points, per_segment: int = 7) -> np.ndarray:
    """A closed Catmull-Rom curve through ``points``: (N, 2) -> (N * per_segment, 2)."""
    p = np.asarray(points, dtype=np.float64)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, per_segment, endpoint=False)[:, None, None]
    curve = p + t / 2 * (
        (after - before) + t * ((2 * before - 5 * p + 4 * after - beyond) + t * (3 * (p - after) + beyond - before))
    )
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def _arc(centre, radius: float, start: float, stop: float, count: int = 28) -> np.ndarray:
    """Points on a circle from ``start`` to ``stop`` degrees (0 is right, 90 is down)."""
    angle = np.radians(np.linspace(start, stop, count))
    return np.asarray(centre) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def shade(colour, factor: float) -> tuple[int, int, int]:
    """``colour`` made darker (factor < 1) or lighter (factor > 1)."""
    return tuple(int(min(255, max(0, channel * factor + (factor > 1) * 30 * (factor - 1)))) for channel in colour)


class _Canvas:
    """Draws polygons given in the bird's coordinates on a supersampled picture."""

    def __init__(self, picture: Image.Image, centre, scale: float, tilt: float, mirrored: bool):
        self.draw, self.side = ImageDraw.Draw(picture), picture.width
        turn = np.radians(tilt)
        rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        mirror = np.diag([-1.0 if mirrored else 1.0, 1.0])
        self.matrix, self.centre, self.scale = scale * mirror @ rotation, np.asarray(centre), scale
        self.low, self.high = np.full(2, np.inf), np.full(2, -np.inf)

    def place(self, points) -> list[tuple[float, float]]:
        """Bird coordinates to pixels; remembers the extent, which becomes the bounding box."""
        placed = np.asarray(points) @ self.matrix.T + self.centre
        self.low, self.high = np.minimum(self.low, placed.min(0)), np.maximum(self.high, placed.max(0))
        return [tuple(point) for point in placed]

    def polygon(self, points, colour, outline: float = 0.62) -> None:
        placed = self.place(points)
        self.draw.polygon(placed, fill=colour)
        if outline:
            self.draw.line(
                [*placed, placed[0]], fill=shade(colour, outline), width=max(1, round(self.side / 170)), joint="curve"
            )

    def line(self, points, colour, width: float) -> None:
        self.draw.line(self.place(points), fill=colour, width=max(1, round(width * self.scale)), joint="curve")


def _background(kind: str, side: int, rng) -> Image.Image:
    """``sky``, ``leaves``, ``water``, ``snow`` or ``field``, out of focus: painted tiny, blurred, enlarged."""
    size, light = 40, rng.uniform(0.94, 1.05)
    top, bottom, spread = {
        "sky": ((138, 188, 234), (226, 239, 248), 0),
        "water": ((104, 154, 172), (168, 206, 208), 0),
        "snow": ((204, 214, 230), (238, 242, 247), 0),
        "leaves": ((128, 164, 98), (104, 142, 84), 34),
        "field": ((214, 198, 150), (200, 178, 128), 18),
    }[kind]
    rows = np.linspace(shade(top, light), shade(bottom, light), size)[:, None, :].repeat(size, axis=1)
    tiny = Image.fromarray(rows.astype(np.uint8))
    pen = ImageDraw.Draw(tiny)
    for _ in range(26 if spread else 6):
        x, y, r = (float(v) for v in rng.uniform((-4, -4, 3), (size + 4, size + 4, 8)))
        if spread:  # leaves and grasses
            flat, colour = r, tuple(int(c) for c in np.array(top) + rng.integers(-spread, spread + 1))
        else:  # clouds, ripples, drifts
            flat, colour = r * {"sky": 0.4, "water": 0.12, "snow": 0.3}[kind], shade(bottom, 1.04)
        pen.ellipse((x - r, y - flat, x + r, y + flat), fill=colour)
    return tiny.filter(ImageFilter.GaussianBlur(1.6)).resize((side, side), Image.Resampling.BICUBIC)


def _perch(canvas: _Canvas, pose: str, foot_y: float, rng) -> None:
    """A branch with leaves, or a strip of ground, at the height of the feet (pixels)."""
    draw, side = canvas.draw, canvas.side
    if pose == "standing":
        earth = shade((158, 142, 104), rng.uniform(0.88, 1.05))
        for layer in range(5):  # lighter where the ground is near
            draw.ellipse(
                (-side, foot_y + side * (0.09 * layer - 0.02), 2 * side, foot_y + 2 * side),
                fill=shade(earth, 1 + 0.035 * layer),
            )
        return
    slope, thick = rng.uniform(-0.12, 0.12), side * rng.uniform(0.02, 0.032)
    x0 = canvas.centre[0]
    ends = [(-side * 0.1, foot_y - slope * x0), (side * 1.1, foot_y + slope * (side - x0))]
    draw.line(ends, fill=(104, 76, 52), width=round(thick * 2))
    draw.line([(x, y - thick * 0.5) for x, y in ends], fill=(136, 104, 74), width=max(1, round(thick * 0.6)))
    for _ in range(rng.integers(1, 5)):
        x = rng.uniform(0, side)
        y = foot_y + slope * (x - x0) + side * rng.uniform(0.0, 0.05)
        leaf = _smooth([(0, 0), (0.5, -0.28), (1.1, 0), (0.5, 0.28)]) * side * 0.07 + (x, y)
        draw.polygon([tuple(p) for p in leaf], fill=shade((92, 140, 70), rng.uniform(0.8, 1.15)))


def _jitter(name: str, rng) -> tuple[int, int, int]:
    """The named colour as this one bird wears it."""
    return tuple(
        int(c) for c in np.clip(np.array(COLOURS[name]) * rng.uniform(0.92, 1.06) + rng.uniform(-7, 7, 3), 0, 255)
    )


def _bill(canvas: _Canvas, colour, reach: float, head) -> None:
    tip = (head[0] - 0.36 - reach, head[1] + 0.10)
    root = head[0] - 0.30
    canvas.polygon([(root, head[1] - 0.12), (root - reach * 0.55, head[1] - 0.05), tip, (root, head[1] + 0.08)], colour)
    canvas.polygon([(root, head[1] + 0.06), tip, (root, head[1] + 0.19)], shade(colour, 0.8))


def _wing_bars(canvas: _Canvas, flying: bool, wing) -> None:
    colour = COLOURS["white"] if sum(wing) < 600 else COLOURS["black"]
    bars = [[(-0.02, -0.60), (0.44, -0.86)], [(0.10, -0.30), (0.58, -0.52)]] if flying else \
           [[(-0.10, -0.20), (-0.14, 0.14)], [(0.18, -0.20), (0.12, 0.20)]]  # fmt: skip
    for bar in bars:
        canvas.line(bar, colour, 0.10)


def draw(bird, size: int, rng: np.random.Generator) -> tuple[Image.Image, tuple[float, float, float, float]]:
    """Draw ``bird`` (an :class:`~t2i.data.aviary.Attributes`) as a ``size`` × ``size`` RGB picture.

    Returns the picture and the bounding box (x, y, width, height) in its pixels. What the attributes leave open
    (light, leaves, exact shades, place) is drawn from ``rng``, always in the same order.
    """
    side = size * SUPERSAMPLING
    flying = bird.pose == "flying"
    scale = BODY_LENGTH[bird.size] * side * rng.uniform(0.95, 1.05)
    centre = side * (np.array([0.5, 0.52 if not flying else 0.58]) + rng.uniform(-0.045, 0.045, 2))
    mirrored = bird.side == "right"
    centre[0] += (
        (-1 if mirrored else 1) * (0.10 - 0.13 * LENGTHS[bird.tail_length] + 0.05 * LENGTHS[bird.bill_length]) * scale
    )
    picture = _background(bird.background, side, rng)
    canvas = _Canvas(picture, centre, scale, TILT[bird.pose] + rng.uniform(-5, 5), mirrored)
    body, belly, wing, crown, bill = (
        _jitter(c, rng) for c in (bird.body, bird.belly, bird.wing, bird.crown, bird.bill)
    )
    plump, head_radius = rng.uniform(0.92, 1.10), rng.uniform(0.39, 0.44)
    head = (-0.80, -0.60)

    if not flying:
        foot_y = centre[1] + 1.02 * scale
        _perch(canvas, bird.pose, foot_y, rng)
        for hip in (-0.12, 0.10):
            knee = np.asarray(canvas.place([(hip, 0.5)])[0])
            canvas.draw.line([tuple(knee), (knee[0], foot_y)], fill=(84, 66, 54), width=max(1, round(0.055 * scale)))
    else:
        canvas.polygon(_smooth(FAR_WING), shade(wing, 0.78))
    length = 0.55 + 0.42 * LENGTHS[bird.tail_length]
    canvas.polygon(
        [(0.62, -0.16), (0.95 + length, 0.02), (1.0 + length, 0.16), (0.90 + length, 0.26), (0.62, 0.22)],
        shade(wing, 0.86),
    )
    canvas.polygon(_smooth(BODY) * (1, plump), body)
    canvas.polygon(_smooth(BELLY) * (1, plump), belly, outline=0)
    canvas.polygon(_arc(head, head_radius, 0, 360, 40), body, outline=0)
    canvas.polygon(_smooth([(-0.98, -0.40), (-0.80, -0.20), (-0.42, -0.36), (-0.52, -0.62)]), body, outline=0)
    canvas.polygon(_arc(head, head_radius * 1.02, 180, 360), crown, outline=0.75)
    _bill(canvas, bill, 0.20 + 0.27 * LENGTHS[bird.bill_length], head)
    eye = (head[0] - 0.13, head[1] + 0.03)
    canvas.polygon(_arc(eye, 0.105, 0, 360, 16), (236, 232, 220), outline=0)
    canvas.polygon(_arc(eye, 0.078, 0, 360, 16), (16, 14, 16), outline=0)
    canvas.polygon(_arc((eye[0] - 0.025, eye[1] - 0.03), 0.026, 0, 360, 8), (255, 255, 255), outline=0)
    canvas.polygon(_smooth(RAISED_WING if flying else WING), wing)
    for shift in (0.0, 0.10):  # the edges of the flight feathers
        feather = (
            [(0.34, -0.10 - shift), (0.74, -0.86 - shift)]
            if flying
            else [(0.25, 0.20 - shift), (0.88, 0.08 - shift / 2)]
        )
        canvas.line(feather, shade(wing, 0.72), 0.03)
    if bird.wing_bars:
        _wing_bars(canvas, flying, wing)

    low, high = np.clip(canvas.low, 0, side) / SUPERSAMPLING, np.clip(canvas.high, 0, side) / SUPERSAMPLING
    box = tuple(float(round(v, 1)) for v in (*low, *(high - low)))
    return picture.reduce(SUPERSAMPLING), box
