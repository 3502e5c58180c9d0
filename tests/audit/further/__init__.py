"""Graders modelled on public reports: 20 flawed and 20 sound, frozen before the families were extended for the last misses of `reported`."""

from tests.audit.further import structures, texts, values
from tests.audit.further.collected import FURTHER

FLAWED, SOUND = FURTHER.flawed, FURTHER.sound

__all__ = ["FLAWED", "SOUND", "structures", "texts", "values"]
