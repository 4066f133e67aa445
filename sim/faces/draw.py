"""Draws a person's head: body, skin, eyes, nose, mouth, marks, hair.

Pure: the same person, pose and picture give the same pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from sim.faces.pen import SHIFT, Floats, Pen, Picture, Pose, Truth, curve, mirrored, scaled
from sim.faces.person import Bgr, Person


class Head:
    """Draws one person's head at one pose into one picture; `draw` changes that picture."""

    def __init__(self, person: Person, pose: Pose, into: Picture) -> None:
        self.person = person
        self.pose = pose
        self.picture = into
        self.pen = Pen(pose, into)

    def outline(self) -> Floats:
        """The face's outline in face units (N, 2)."""
        p = self.person
        return curve(
            mirrored(
                [
                    (0.0, -1.18 * p.skull),
                    (0.5 * p.forehead, -1.08 * p.skull),
                    (0.86 * p.forehead, -0.68),
                    (0.97 * p.cheeks, -0.1),
                    (0.95 * p.cheeks, 0.35),
                    (0.78 * p.jaw, 0.85),
                    (0.34 * p.chin_width, 1.22 * p.chin_length),
                    (0.0, 1.31 * p.chin_length),
                ]
            ),
            closed=True,
        )

    def truth(self) -> Truth:
        """Box and landmarks of the face as it is drawn."""
        p = self.person
        nose = p.nose_length - 0.04
        mouth = self._mouth_y()
        half = p.mouth_width * (1 + 0.12 * self.pose.smile)
        corner = mouth - 0.05 * self.pose.smile - p.mouth_curve
        flat = [(-p.eye_spacing, 0.0), (p.eye_spacing, 0.0), (0.0, nose), (-half, corner), (half, corner)]
        outline = self.pen.place(self.outline(), 0.1)
        return Truth(
            np.concatenate([outline.min(axis=0), outline.max(axis=0)]),
            self.pen.place(flat, np.array([0.3, 0.3, 0.62, 0.34, 0.34])),
        )

    def _mouth_y(self) -> float:
        return self.person.nose_length + self.person.mouth_y

    def draw(self) -> Truth:
        """Draw body, head and hair; return where the face is."""
        self._back_hair()
        self._body()
        self._skin()
        self._eyes()
        self._nose()
        self._mouth()
        self._marks()
        self._front_hair()
        return self.truth()

    def _back_hair(self) -> None:
        p = self.person
        if p.hair_style in {1, 4, 6}:
            length = {1: 2.3, 4: 1.25, 6: 1.75}[p.hair_style]
            width = 1.08 + p.volume
            right = [
                (0.0, -1.35 - p.volume),
                (0.8, -1.15),
                (width, -0.3),
                (width, 0.7),
                (width * 0.95, length),
            ]
            self.pen.fill(curve(mirrored([*right, (0.0, length)]), closed=True), -0.35, scaled(p.hair, 0.75))

    def _body(self) -> None:
        p, clothes = self.person, self.pose.clothes
        right = [(0.0, 1.75), (0.62, 1.72), (1.5, 2.05), (2.3, 2.5), (2.6, 4.6), (0.0, 4.6)]
        self.pen.fill(curve(mirrored(right), closed=True, steps=4), -0.3, clothes)
        neck = [(-0.55, 0.7), (0.55, 0.7), (0.58, 1.8), (0.0, 2.15), (-0.58, 1.8)]
        self.pen.fill(neck, -0.15, scaled(p.skin, 0.78))
        collar = [(-0.62, 1.72), (-0.3, 1.98), (0.0, 2.2), (0.3, 1.98), (0.62, 1.72)]
        self.pen.stroke(collar, -0.15, scaled(clothes, 0.7), 0.06)

    def _skin(self) -> None:
        p = self.person
        if p.hair_style not in {1, 6}:
            for side in (-1, 1):
                ear = [(0.93, -0.18), (1.1, -0.22), (1.14, 0.0), (1.06, 0.3), (0.93, 0.36)]
                shape = [(side * p.cheeks * (0.93 + (x - 0.93) * p.ear), y * p.ear + 0.05) for x, y in ear]
                self.pen.fill(curve(shape, closed=True, steps=4), 0.0, scaled(p.skin, 0.86))
        outline = self.outline()
        self.pen.fill(outline, 0.1, p.skin)
        pixels = self.pen.place(outline, 0.1)
        height, width = self.picture.shape[:2]
        left, top = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 2, 0)
        right, bottom = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 3, (width, height))
        if right - left < 2 or bottom - top < 2:
            return
        soft = self.picture.copy()
        self.pen.fill(outline * 1.2, 0.1, p.skin, soft)  # no background bleeds into the blurred rim
        self._shade(soft)
        region = (slice(top, bottom), slice(left, right))
        blurred = cv2.GaussianBlur(soft[region], (0, 0), max(0.4, 0.055 * self.pose.unit))
        mask = np.zeros((bottom - top, right - left), np.uint8)
        fixed = np.round((pixels - (left, top)) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, SHIFT)
        weight = (mask.astype(np.float32) / 255.0)[..., None]
        face = self.picture[region]
        face[:] = (blurred * weight + face * (1 - weight)).astype(np.uint8)

    def _shade(self, soft: Picture) -> None:
        """Soft forms of the skin: sockets, cheeks, nose, chin, beard."""
        p = self.person
        dark, light = scaled(p.skin, 0.84), scaled(p.skin, 1.07)
        for side in (-1, 1):
            rim = [(0.6, 0.5), (0.95, 0.2), (0.95, 0.7), (0.6, 1.05)]
            self.pen.fill([(side * x * p.cheeks, y) for x, y in rim], 0.1, scaled(p.skin, 0.9), soft)
            self.pen.dot(side * p.eye_spacing, -0.02, 0.25, p.eye_width * 1.15, scaled(p.skin, 0.9), into=soft)
            rosy = (p.skin[0] * (1 - 0.14 * p.blush), p.skin[1] * (1 - 0.12 * p.blush), p.skin[2])
            self.pen.dot(side * 0.55, 0.42, 0.2, 0.2, rosy, into=soft)
            flank = [
                (0.06, -0.05),
                (0.12 + 0.05 * p.nose_bridge, 0.1),
                (p.nose_width * 1.15, p.nose_length - 0.05),
            ]
            self.pen.fill([(side * x, y) for x, y in [*flank, (0.04, p.nose_length - 0.1)]], 0.4, dark, soft)
        ridge = 0.05 + 0.03 * p.nose_bridge
        self.pen.fill(
            [(-ridge, 0.0), (ridge, 0.0), (ridge, p.nose_length - 0.1), (-ridge, p.nose_length - 0.1)],
            0.5,
            light,
            soft,
        )
        self.pen.dot(0.0, p.nose_length - 0.07, 0.6, p.nose_width * 0.5, light, into=soft)
        mouth = self._mouth_y()
        self.pen.fill([(-0.2, mouth + 0.13), (0.2, mouth + 0.13), (0.0, mouth + 0.24)], 0.3, dark, soft)
        if p.beard:
            right = [
                (0.0, mouth + 0.1),
                (0.4, mouth + 0.02),
                (0.62 * p.jaw, 0.62),
                (0.84 * p.jaw, 0.5),
                (0.8 * p.jaw, 0.85),
            ]
            beard = mirrored([*right, (0.34 * p.chin_width, 1.22 * p.chin_length), (0.0, 1.31 * p.chin_length)])
            self.pen.fill(beard, 0.15, self._blend(p.skin, p.hair, p.beard), soft)
        if p.moustache:
            under = p.nose_length + 0.06
            lip = [
                (-0.3, mouth - 0.02),
                (-0.12, under),
                (0.12, under),
                (0.3, mouth - 0.02),
                (0.0, mouth - 0.05),
            ]
            self.pen.fill(lip, 0.4, self._blend(p.skin, p.hair, p.moustache), soft)

    @staticmethod
    def _blend(first: Bgr, second: Bgr, part: float) -> Bgr:
        blue, green, red = (a + (b - a) * part for a, b in zip(first, second, strict=True))
        return blue, green, red

    def _eyes(self) -> None:
        p = self.person
        for side in (-1, 1):
            x, tilt = side * p.eye_spacing, -side * p.eye_tilt
            open_ = p.eye_height * self.pose.lids
            almond = [
                (-1.0, 0.05),
                (-0.55, -0.75),
                (0.0, -1.0),
                (0.55, -0.75),
                (1.0, 0.05),
                (0.5, 0.75),
                (0.0, 0.9),
                (-0.5, 0.75),
            ]
            shape = curve(
                [(x + a * p.eye_width, b * open_ + a * p.eye_width * tilt) for a, b in almond],
                closed=True,
                steps=4,
            )
            pixels = self.pen.place(shape, 0.3)
            left, top = np.floor(pixels.min(axis=0)).astype(int) - 2
            right, bottom = np.ceil(pixels.max(axis=0)).astype(int) + 3
            height, width = self.picture.shape[:2]
            left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
            if right - left > 1 and bottom - top > 1:
                eye = self.picture[top:bottom, left:right].copy()
                inner = Pen(self._shifted(left, top), eye)
                inner.fill(shape, 0.3, (232, 236, 238))
                inner.fill(shape[: len(shape) // 2 + 2] + np.array([0.0, open_ * 0.18]), 0.3, (214, 220, 224))
                gaze = x + self.pose.gaze * p.eye_width * 0.35
                inner.dot(gaze, -0.02, 0.3, p.iris_size, p.iris)
                inner.dot(gaze, -0.02, 0.3, p.iris_size * 0.5, (12, 12, 14))
                inner.dot(gaze - 0.03, -0.05, 0.3, p.iris_size * 0.22, (245, 245, 245))
                mask = np.zeros(eye.shape[:2], np.uint8)
                fixed = np.round((pixels - (left, top)) * (1 << SHIFT)).astype(np.int32)
                cv2.fillPoly(mask, [fixed], (255,), cv2.LINE_AA, SHIFT)
                weight = (mask.astype(np.float32) / 255.0)[..., None]
                region = self.picture[top:bottom, left:right]
                region[:] = (eye * weight + region * (1 - weight)).astype(np.uint8)
            upper = shape[: 4 * 4 + 1]
            self.pen.stroke(upper, 0.3, scaled(p.skin, 0.28), 0.028)
            if p.lid > 0.35:
                fold = upper + np.array([0.0, -0.05 - 0.03 * p.lid])
                self.pen.stroke(fold, 0.3, scaled(p.skin, 0.72), 0.016)
            if p.age > 0.6:
                bag = [
                    (x - 0.8 * p.eye_width, open_ + 0.06),
                    (x, open_ + 0.11),
                    (x + 0.8 * p.eye_width, open_ + 0.06),
                ]
                self.pen.stroke(curve(bag, closed=False), 0.3, scaled(p.skin, 0.84), 0.02)
            self._brow(side)

    def _shifted(self, left: int, top: int) -> Pose:
        pose = self.pose
        return Pose(pose.x - left, pose.y - top, pose.unit, pose.yaw, pose.pitch, pose.roll)

    def _brow(self, side: int) -> None:
        p = self.person
        x = side * (p.eye_spacing + 0.02)
        y = -p.brow_height - 0.04 * self.pose.smile
        t = np.linspace(-1.0, 1.0, 9)
        line_x = x + side * t * p.brow_length
        line_y = y - t * p.brow_tilt * p.brow_length - p.brow_arch * (1 - t**2)
        thick = p.brow_thickness * (1.0 - 0.55 * (t + 1) / 2)
        ring = np.concatenate(
            [np.column_stack([line_x, line_y - thick]), np.column_stack([line_x, line_y + thick])[::-1]]
        )
        self.pen.fill(ring, 0.33, self._blend(scaled(p.hair, 0.8), p.skin, 0.15))

    def _nose(self) -> None:
        p = self.person
        tip, wide = p.nose_length, p.nose_width
        wings = [
            (-wide, tip - 0.12),
            (-wide * 1.02, tip - 0.01),
            (-wide * 0.45, tip + 0.03),
            (0.0, tip + 0.05),
        ]
        wings += [(-x, y) for x, y in reversed(wings[:-1])]
        self.pen.stroke(curve(wings, closed=False, steps=4), 0.48, scaled(p.skin, 0.66), 0.022)
        for side in (-1, 1):
            self.pen.dot(side * wide * 0.5, tip + 0.005, 0.5, 0.026, scaled(p.skin, 0.4))

    def _mouth(self) -> None:
        p, smile = self.person, self.pose.smile
        y = self._mouth_y()
        half = p.mouth_width * (1 + 0.12 * smile)
        lift = 0.05 * smile + p.mouth_curve
        corner = y - lift
        middle = [(-half, corner), (-half * 0.45, y), (0.0, y + 0.012), (half * 0.45, y), (half, corner)]
        upper = [
            (half * 0.5, y - p.upper_lip * 0.85),
            (half * 0.16, y - p.upper_lip),
            (0.0, y - p.upper_lip * 0.75),
        ]
        upper += [(-half * 0.16, y - p.upper_lip), (-half * 0.5, y - p.upper_lip * 0.85)]
        lower = [
            (half * 0.55, y + p.lower_lip * 0.8),
            (0.0, y + p.lower_lip * 1.05),
            (-half * 0.55, y + p.lower_lip * 0.8),
        ]
        self.pen.fill(curve(middle + upper, closed=True, steps=4), 0.36, scaled(p.lips, 0.9))
        self.pen.fill(curve(middle + lower, closed=True, steps=4), 0.36, p.lips)
        self.pen.stroke(curve(middle, closed=False, steps=4), 0.36, scaled(p.lips, 0.5), 0.022)

    def _marks(self) -> None:
        p = self.person
        for mole in p.moles:
            if abs(mole.x) < 0.66 or mole.y < 0.6:
                self.pen.dot(mole.x, mole.y, 0.25, mole.radius, scaled(p.skin, 0.36))
        if p.age > 0.45:
            for side in (-1, 1):
                fold = [
                    (0.24, p.nose_length - 0.05),
                    (0.4, self._mouth_y() - 0.12),
                    (0.44, self._mouth_y() + 0.02),
                ]
                line = curve([(side * x, y) for x, y in fold], closed=False)
                self.pen.stroke(line, 0.3, scaled(p.skin, 1.0 - 0.26 * p.age), 0.018)
        if p.glasses:
            self._glasses()

    def _glasses(self) -> None:
        p, size = self.person, self.person.glasses_size
        colour: Bgr = (36, 32, 34) if p.glasses == 1 else (96, 118, 140)
        for side in (-1, 1):
            x = side * p.eye_spacing
            power = 2.0 if p.glasses == 2 else 4.0
            angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
            round_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** (2 / power)
            round_y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** (2 / power)
            rim = np.column_stack([x + size * round_x, 0.03 + size * 0.8 * round_y])
            self.pen.stroke(rim, 0.45, colour, 0.035, closed=True)
            self.pen.stroke([(x + side * size, -0.02), (side * 0.98 * p.cheeks, -0.06)], 0.3, colour, 0.03)
        inner = p.eye_spacing - size
        if inner > 0:
            self.pen.stroke([(-inner, -0.02), (0.0, -0.07), (inner, -0.02)], 0.5, colour, 0.035)

    def _front_hair(self) -> None:
        p = self.person
        top = -1.3 * p.skull - p.volume
        low = p.hairline
        side_y = {0: -0.15, 1: 0.5, 2: -0.4, 3: -0.1, 4: 0.6, 5: -0.55, 6: 0.45, 7: -0.25}[p.hair_style]
        wide = 1.02 * p.cheeks + p.volume * 0.45
        crown = [(wide, side_y), (wide * 1.02, -0.6), (wide * 0.82, -1.1), (0.4, top), (0.0, top - 0.02)]
        outer = crown + [(-x, y) for x, y in reversed(crown[:-1])]
        inner_x = 0.86 * p.cheeks
        match p.hair_style:
            case 0 | 6:  # swept to one side of the parting
                fringe = [
                    (-inner_x, side_y),
                    (-inner_x * 0.92, low + 0.2),
                    (p.parting, low - 0.08),
                    (inner_x * 0.92, low + 0.2),
                ]
            case 1:  # parted, falling to both sides
                fringe = [
                    (-inner_x, side_y),
                    (-inner_x * 0.85, -0.3),
                    (p.parting * 0.6, low - 0.25),
                    (inner_x * 0.85, -0.3),
                ]
            case 2:  # short, straight line
                fringe = [(-inner_x, side_y), (-inner_x * 0.8, low), (0.0, low - 0.05), (inner_x * 0.8, low)]
            case 3 | 4:  # full fringe
                cut = -p.brow_height - 0.12
                fringe = [
                    (-inner_x, side_y),
                    (-inner_x * 0.86, cut),
                    (p.parting * 0.4, cut - 0.04),
                    (inner_x * 0.86, cut),
                ]
            case 5:  # receding
                fringe = [
                    (-inner_x, side_y),
                    (-inner_x * 0.8, low - 0.1),
                    (-0.3, low - 0.25),
                    (0.0, low - 0.05),
                ]
                fringe += [(0.3, low - 0.25), (inner_x * 0.8, low - 0.1)]
            case _:  # spiky
                fringe = [
                    (-inner_x, side_y),
                    (-0.6, low + 0.08),
                    (-0.45, low - 0.1),
                    (-0.25, low + 0.1),
                    (-0.08, low - 0.1),
                ]
                fringe += [(0.12, low + 0.12), (0.3, low - 0.1), (0.5, low + 0.08), (0.7, low - 0.05)]
        fringe.append((inner_x, side_y))
        ring = np.concatenate([curve(outer, closed=False, steps=5), curve(fringe, closed=False, steps=5)])
        self.pen.fill(ring, 0.2, p.hair)
        for part in (-0.35, 0.15, 0.5):
            strand = [(part - 0.1, top + 0.1), (part, (top + low) / 2 - 0.05), (part * 1.25, low - 0.08)]
            self.pen.stroke(curve(strand, closed=False, steps=4), 0.2, scaled(p.hair, 1.3), 0.02)
