"""Attacks on another running sample."""

from __future__ import annotations

import time
from collections.abc import Callable

from graders_sandbox.host.attacks.attempt import MultiSampleAttack, program_of, reason_of
from graders_sandbox.host.sandbox import Sandbox

from .matrix import FULL, LANDLOCK, NS, STRICT
from .targets import AttackTargets

#: The attacked sample. It runs beside the attackers for `lasts_s` and returns 1.0 if nothing happened to it.
_VICTIM = program_of("""
marker = item['marker']
threads = [threading.Thread(target=time.sleep, args=(item['lasts_s'],), daemon=True) for _ in range(2)]
for thread in threads:
    thread.start()
limits = [resource.getrlimit(which) for which in range(16)]
if item['files']:
    open('kept', 'w').write(marker)
ends = time.monotonic() + item['lasts_s']
while time.monotonic() < ends:
    time.sleep(0.02)
assert [resource.getrlimit(which) for which in range(16)] == limits
if item['files']:
    assert os.listdir('.') == ['kept'], os.listdir('.')
    assert open('kept').read() == marker
assert all(thread.is_alive() for thread in threads) or time.monotonic() >= ends
return 1.0
""")


def beside(body: str, tries: int = 2) -> Callable[[Sandbox, AttackTargets], str]:
    """An attack while another sample runs. The reason is the attackers', if they agree and the other sample is unharmed."""

    def drive(sandbox: Sandbox, targets: AttackTargets) -> str:
        files = sandbox.tier != STRICT
        victim_item = {"marker": targets.secret, "lasts_s": 0.25, "files": files}
        attack = program_of(body)
        # this tier runs one sample at a time
        alone = sandbox.tier == NS
        victim = sandbox.submit(_VICTIM, targets.secret, victim_item)
        if not alone:
            # the victim starts
            time.sleep(0.05)
        reasons = {reason_of(sandbox.run(attack, {}, targets.item())) for _ in range(tries)}
        ended = victim.result()
        if ended.value != 1.0:
            return f"the other sample was hurt: {ended.status} {ended.text[-300:]}"
        if len(reasons) > 1:
            # of an attacker that found nothing to attack
            reasons.discard("ENOENT")
        return " and ".join(sorted(reasons))

    return drive


#: The folders that may be another sample's. The own one is left out by its number, not by a look at the folders.
_FOLDERS = """
parent, own = os.path.dirname(TMP), os.path.basename(TMP)
others = [f'{parent}/{number}' for number in range(64) if str(number) != own]
def real(acts):
    # a folder that does not exist proves nothing; all others must refuse, with one error
    errors = [met(*act) for act in acts]
    errors = [error for error in errors if error != number(errno.ENOENT)] or [number(errno.ENOENT)]
    assert len(set(errors)) == 1, errors
    return errors[0]
"""
_PIDS = "pids = [pid for pid in range(max(1, os.getpid() - 40), os.getpid() + 40) if pid != os.getpid()]\n"
SIBLINGS = [
    MultiSampleAttack(54, "listing its folder", "EACCES or ENOENT", beside(_FOLDERS + "return real([(os.listdir, other) for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "reading its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(open, other + '/kept') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "writing its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(open, other + '/kept', 'w') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "adding a file", "EACCES or EROFS or ENOENT", beside(_FOLDERS + "return real([(open, other + '/new', 'w') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "deleting its file", "EACCES or ENOENT", beside(_FOLDERS + "return real([(os.unlink, other + '/kept') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "moving its file", "EXDEV or EACCES or ENOENT", beside(_FOLDERS + "return real([(os.rename, other + '/kept', 'mine') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "linking to its file", "EACCES or ENOENT", beside(_FOLDERS + "def act(other):\n    if os.path.lexists('link'):\n        os.unlink('link')\n    os.symlink(other + '/kept', 'link')\n    open('link')\nreturn real([(act, other) for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "a hard link to its file", "EXDEV or EACCES or ENOENT", beside(_FOLDERS + "return real([(os.link, other + '/kept', 'hard') for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "removing its folder", "EACCES or EBUSY or EROFS or ENOENT", beside(_FOLDERS + "return real([(os.rmdir, other) for other in others])"), (FULL, LANDLOCK, NS)),
    MultiSampleAttack(54, "its folder, where paths are refused", "EPERM", beside("return all_met([(os.listdir, '.'), (open, 'kept'), (os.unlink, 'kept')])"), (STRICT,)),
    MultiSampleAttack(54, "signals", "EPERM", beside(_PIDS + "return all_met([(os.kill, pid, signal.SIGKILL) for pid in pids])")),
    MultiSampleAttack(54, "signals to its threads", "EPERM", beside(_PIDS + "return all_met([(call, (234, 131), pid, tid, 9) for pid in pids for tid in (pid, pid + 1)])")),
    MultiSampleAttack(54, "its limits", "EPERM", beside(_PIDS + "return all_met([(call, (302, 261), pid, 7, struct.pack('QQ', 0, 0), None) for pid in pids])")),
    MultiSampleAttack(54, "ptrace", "EPERM", beside(_PIDS + "return all_met([(call, (101, 117), 16, pid, 0, 0) for pid in pids])")),
    MultiSampleAttack(54, "its memory", "EPERM", beside(_PIDS + "local = struct.pack('QQ', ctypes.addressof(ctypes.create_string_buffer(8)), 8)\nreturn all_met([(call, (310, 270), pid, local, 1, local, 1, 0) for pid in pids])")),
    MultiSampleAttack(54, "/proc", "EACCES or ENOENT or EPERM", beside("return all_met([(open, '/proc/%d/%s' % (os.getpid(), name), 'rb') for name in ('mem', 'maps', 'environ')])")),
    MultiSampleAttack(54, "its result's pipe", "EACCES or ENOENT or EPERM", beside(_PIDS + "errors = {met(os.open, f'/proc/{pid}/fd/{fd}', os.O_WRONLY) for pid in pids for fd in (3, 4, 5)} - {number(errno.ENOENT)} or {number(errno.ENOENT)}\nassert len(errors) == 1, errors\nreturn errors.pop()")),
    MultiSampleAttack(54, "its folder by way of /proc", "EACCES or ENOENT or EPERM", beside("return met(os.listdir, '/proc/%d/cwd' % (os.getpid() - 1))")),
    MultiSampleAttack(54, "its processor time", "EPERM", beside(_PIDS + "return all_met([(os.setpriority, os.PRIO_PROCESS, pid, 19) for pid in pids] + [(os.sched_setaffinity, pid, [0]) for pid in pids])")),
    MultiSampleAttack(54, "its lists of locks", "EPERM or EACCES or ESRCH", beside("buffer = ctypes.create_string_buffer(16)\npointer = ctypes.addressof(buffer)\nfor pid in (os.getppid(),):\n    return met(call, (274, 100), pid, pointer, pointer + 8)")),
    MultiSampleAttack(53, "its sample and item in memory", "NOTHING", beside("assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING", tries=2)),
]  # fmt: skip
