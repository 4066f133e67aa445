"""What a face is compared with: the office's photo or template, or the photo on a chip where a decoder is there for it."""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from lockerd.errors import DeviceError, FaceUnavailable
from lockerd.face.chip_photo import enrol_chip_photo
from lockerd.model.cards import ManifestTemplate
from lockerd.model.identity import Enrolment, FaceReason, FaceTemplate
from lockerd.ports import ChipPhotoDecoder, FaceVerifier

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Referred:
    """What the office sent became of: the template to compare with, or why there is none, and why its own was not taken."""

    enrolment: Enrolment
    refused: FaceReason | None = None


@dataclass(frozen=True, slots=True)
class References:
    """Makes templates; no photo outlives the call. `decoder` is None where nobody can read a chip's photo."""

    face: FaceVerifier
    decoder: ChipPhotoDecoder | None = None

    async def of_office(self, photo: bytes, template: ManifestTemplate | None) -> Referred:
        """The office's template where it is of this machine's model, else one of its photo, else why there is none.

        Raises FaceUnavailable while no worker answers.
        """
        if template is None:
            return Referred(await self.face.enrol(photo) if photo else Enrolment(None, FaceReason.UNREADABLE_PICTURE))
        admitted = self.face.admit(FaceTemplate(template.model_id, template.vector))
        if admitted.template is not None:
            return Referred(admitted)
        return Referred(await self.face.enrol(photo) if photo else admitted, admitted.reason)

    async def of_chip(self, photo: bytes) -> FaceTemplate | None:
        """A template of a chip's photo; None without a decoder or a photo, or where it cannot be used."""
        if self.decoder is None or not photo:
            return None
        try:
            enrolment = await enrol_chip_photo(self.face, self.decoder, photo)
        except (DeviceError, FaceUnavailable) as error:
            log.warning("chip photo not used", error=str(error))
            return None
        if enrolment.template is None:
            log.warning("chip photo not usable", reason=enrolment.reason)
        return enrolment.template
