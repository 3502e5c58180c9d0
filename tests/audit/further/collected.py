"""The list that the modules of this set add their graders to."""

from tests.audit.reported.grading import GraderSet

FURTHER = GraderSet()
flawed, sound = FURTHER.add_flawed, FURTHER.add_sound
