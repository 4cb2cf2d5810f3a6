"""People for the example pictures: from the waist up, or whole."""

from __future__ import annotations

from dataclasses import dataclass

from drawing import Box, Canvas, Colour, both, disc, ellipse, polygon, rounded, stroke

SKINS: tuple[Colour, ...] = ((236, 188, 160), (198, 140, 104), (141, 94, 66), (224, 172, 140), (110, 72, 52))
HAIRS: tuple[Colour, ...] = ((46, 32, 26), (120, 78, 44), (28, 26, 30), (196, 152, 86), (150, 70, 40))
DENIM: Colour = (52, 66, 98)


@dataclass(frozen=True)
class Looks:
    skin: Colour = SKINS[0]
    hair: Colour = HAIRS[0]
    top: Colour = (70, 100, 160)
    long_hair: bool = False
    glasses: bool = False


def looks(number: int, top: Colour) -> Looks:
    """Some person, always the same one for the same number."""
    return Looks(
        SKINS[number % len(SKINS)],
        HAIRS[(number * 2 + 1) % len(HAIRS)],
        top,
        long_hair=number % 2 == 1,
        glasses=number % 3 == 2,
    )


def dark(colour: Colour, part: float = 0.6) -> Colour:
    return (int(colour[0] * part), int(colour[1] * part), int(colour[2] * part))


def head(canvas: Canvas, x: float, y: float, size: float, who: Looks) -> None:
    """`x`, `y` is the middle of the face, `size` half its height."""
    wide = size * 0.76
    if who.long_hair:
        hair = both(
            ellipse(x - wide * 1.25, y - size * 1.28, x + wide * 1.25, y + size * 0.8),
            rounded(x - wide * 1.22, y - size * 0.2, x + wide * 1.22, y + size * 1.45, size * 0.4),
        )
        canvas.paint(hair, (who.hair, dark(who.hair)), size * 0.2, 0.7)
    canvas.paint(
        rounded(x - wide * 0.5, y + size * 0.4, x + wide * 0.5, y + size * 1.6, size * 0.25),
        dark(who.skin, 0.78),
    )
    for side in (-1, 1):
        ear = ellipse(
            x + side * wide * 1.02 - size * 0.14,
            y - size * 0.2,
            x + side * wide * 1.02 + size * 0.14,
            y + size * 0.25,
        )
        canvas.paint(ear, dark(who.skin, 0.88), size * 0.08)
    face = both(
        ellipse(x - wide, y - size, x + wide, y + size * 0.75),
        ellipse(x - wide * 0.86, y - size * 0.5, x + wide * 0.86, y + size),
    )
    canvas.paint(face, (who.skin, dark(who.skin, 0.9)), size * 0.3, 0.6)
    fringe(canvas, x, y, size, who)
    features(canvas, x, y, size, who)


def fringe(canvas: Canvas, x: float, y: float, size: float, who: Looks) -> None:
    wide = size * 0.76
    cap = polygon(
        (x - wide * 1.1, y - size * 0.05),
        (x - wide * 1.12, y - size * 0.6),
        (x - wide * 0.8, y - size * 1.1),
        (x - wide * 0.2, y - size * 1.3),
        (x + wide * 0.4, y - size * 1.26),
        (x + wide * 0.95, y - size * 0.95),
        (x + wide * 1.12, y - size * 0.5),
        (x + wide * 1.08, y - size * 0.05),
        (x + wide * 0.92, y - size * 0.45),
        (x + wide * 0.5, y - size * 0.62),
        (x - wide * 0.3, y - size * 0.66),
        (x - wide * 0.85, y - size * 0.42),
    )
    canvas.paint(cap, (who.hair, dark(who.hair, 0.75)), size * 0.12, 0.7)


def features(canvas: Canvas, x: float, y: float, size: float, who: Looks) -> None:
    """Eyes, brows, nose and a smile."""
    for side in (-1, 1):
        eye = x + side * size * 0.31
        if who.glasses:
            canvas.paint(disc(eye, y - size * 0.07, size * 0.26), (40, 40, 46))
            canvas.paint(disc(eye, y - size * 0.07, size * 0.22), dark(who.skin, 0.97))
        canvas.paint(
            ellipse(eye - size * 0.14, y - size * 0.16, eye + size * 0.14, y + size * 0.02), (240, 238, 234)
        )
        canvas.paint(disc(eye, y - size * 0.07, size * 0.078), (48, 34, 26))
        canvas.paint(
            stroke(
                size * 0.035,
                (eye - size * 0.16, y - size * 0.12),
                (eye, y - size * 0.19),
                (eye + size * 0.16, y - size * 0.12),
            ),
            (70, 48, 40),
        )
        canvas.paint(
            stroke(
                size * 0.06,
                (eye - size * 0.17, y - size * 0.3),
                (eye, y - size * 0.36),
                (eye + size * 0.17, y - size * 0.3),
            ),
            dark(who.hair, 0.9),
        )
    if who.glasses:
        bridge = stroke(size * 0.04, (x - size * 0.06, y - size * 0.08), (x + size * 0.06, y - size * 0.08))
        canvas.paint(bridge, (40, 40, 46))
    nose = stroke(
        size * 0.07,
        (x + size * 0.03, y + size * 0.02),
        (x + size * 0.09, y + size * 0.26),
        (x - size * 0.05, y + size * 0.29),
    )
    canvas.paint(nose, dark(who.skin, 0.76))
    mouth = polygon(
        (x - size * 0.3, y + size * 0.45),
        (x, y + size * 0.5),
        (x + size * 0.3, y + size * 0.45),
        (x + size * 0.17, y + size * 0.64),
        (x, y + size * 0.69),
        (x - size * 0.17, y + size * 0.64),
    )
    canvas.paint(mouth, (150, 62, 62))
    canvas.paint(
        polygon(
            (x - size * 0.24, y + size * 0.48),
            (x, y + size * 0.52),
            (x + size * 0.24, y + size * 0.48),
            (x + size * 0.12, y + size * 0.56),
            (x - size * 0.12, y + size * 0.56),
        ),
        (238, 232, 226),
    )


def bust(canvas: Canvas, x: float, y: float, size: float, who: Looks) -> Box:
    """Someone facing the camera, down to the lower edge of the picture. Returns the person's box."""
    below = canvas.height + size
    body = both(
        polygon(
            (x - size * 0.4, y + size * 1.2),
            (x - size * 1.45, y + size * 1.7),
            (x - size * 1.75, y + size * 2.4),
            (x - size * 1.85, below),
            (x + size * 1.85, below),
            (x + size * 1.75, y + size * 2.4),
            (x + size * 1.45, y + size * 1.7),
            (x + size * 0.4, y + size * 1.2),
        ),
        ellipse(x - size * 1.75, y + size * 1.5, x - size * 0.6, y + size * 2.9),
        ellipse(x + size * 0.6, y + size * 1.5, x + size * 1.75, y + size * 2.9),
    )
    canvas.paint(body, (who.top, dark(who.top, 0.7)), size * 0.35, 0.7, shadow=size * 0.3)
    for side in (-1, 1):
        fold = stroke(size * 0.07, (x + side * size * 1.12, y + size * 2.4), (x + side * size * 1.2, below))
        canvas.paint(fold, dark(who.top, 0.55))
    canvas.paint(
        polygon((x - size * 0.46, y + size * 1.15), (x + size * 0.46, y + size * 1.15), (x, y + size * 1.8)),
        dark(who.skin, 0.85),
    )
    head(canvas, x, y, size, who)
    return x - size * 1.85, y - size * 1.3, x + size * 1.85, canvas.height


def figure(canvas: Canvas, x: float, feet: float, tall: float, who: Looks, arms: str = "down") -> Box:
    """Someone standing; `arms` is "down", "up" or "wave". Returns the person's box."""
    unit = tall / 7.4
    top = feet - tall
    canvas.glow(
        ellipse(x - unit * 1.3, feet - unit * 0.15, x + unit * 1.9, feet + unit * 0.3),
        (20, 20, 20),
        unit * 0.2,
    )
    for side in (-1, 1):
        hip, ankle = (x + side * unit * 0.42, top + unit * 4.0), (x + side * unit * 0.5, feet - unit * 0.6)
        leg = stroke(unit * 0.82, hip, ankle)
        canvas.paint(leg, (DENIM, dark(DENIM, 0.8)), unit * 0.3, 0.6)
        shoe = ellipse(
            x + side * unit * 0.6 - unit * 0.5, feet - unit * 0.42, x + side * unit * 0.6 + unit * 0.5, feet
        )
        canvas.paint(shoe, (58, 46, 42), unit * 0.15, 0.6)
    for side in (-1, 1):
        arm(canvas, x, top, unit, side, who, arms)
    body = both(
        rounded(x - unit * 1.02, top + unit * 1.32, x + unit * 1.02, top + unit * 4.2, unit * 0.5),
        rounded(x - unit * 0.9, top + unit * 3.2, x + unit * 0.9, top + unit * 4.35, unit * 0.2),
    )
    canvas.paint(body, (who.top, dark(who.top, 0.75)), unit * 0.35, 0.7)
    head(canvas, x, top + unit * 0.62, unit * 0.58, who)
    left, right, above = {"down": (1.6, 1.6, 0.15), "up": (2, 2, 0.25), "wave": (1.6, 2, 0.25)}[arms]
    return x - unit * left, top - unit * above, x + unit * right, feet


def arm(canvas: Canvas, x: float, top: float, unit: float, side: int, who: Looks, pose: str) -> None:
    raised = pose == "up" or (pose == "wave" and side == 1)
    shoulder = (x + side * unit * 0.92, top + unit * 1.7)
    elbow = (x + side * unit * (1.55 if raised else 1.3), top + unit * (1.5 if raised else 2.9))
    hand = (x + side * unit * (1.7 if raised else 1.25), top + unit * (0.1 if raised else 4.0))
    canvas.paint(stroke(unit * 0.5, elbow, hand), who.skin, unit * 0.2, 0.6)
    canvas.paint(disc(*hand, unit * 0.32), who.skin, unit * 0.15, 0.6)
    canvas.paint(stroke(unit * 0.66, shoulder, elbow), who.top, unit * 0.25, 0.6)
