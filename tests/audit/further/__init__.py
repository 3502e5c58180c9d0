"""Graders modelled on public reports: 20 flawed and 20 sound, frozen before the checks were changed for what `reported` showed."""

from tests.audit.further import structures, texts, values
from tests.audit.further.collected import FURTHER

FLAWED, SOUND = FURTHER.flawed, FURTHER.sound

__all__ = ["FLAWED", "SOUND", "structures", "texts", "values"]
