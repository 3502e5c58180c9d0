"""Attacks on the host's files, descriptors and environment: rows 8 to 13."""

from __future__ import annotations

from .matrix import HIDDEN, LANDLOCK, MAYBE, READ_ONLY, AttackCase, by_tier, here

FILES_OF_THE_HOST = [
    AttackCase(8, "which descriptors are open", "NOTHING", """
found = [fd for fd in range(4096) if met(fcntl.fcntl, fd, fcntl.F_GETFD) == THROUGH]
assert found == [0, 1, 2, 3], found
return NOTHING"""),
    AttackCase(8, "input, output and errors lead nowhere", "NOTHING", "assert os.read(0, 100) == b'' and os.write(1, b'x') == os.write(2, b'x') == 1\nreturn NOTHING"),
    AttackCase(8, "reading from the result's descriptor", "EBADF", "return met(os.read, 3, 100)"),
    AttackCase(8, "descriptors over the result's descriptor", "ENOTSOCK or EPERM", "return met(call, (46, 211), 3, bytes(56), 0)"),
    AttackCase(8, "passing descriptors through an own pair", "EPERM", "a, b = socket.socketpair()\nreturn met(socket.send_fds, a, [b'x'], [0])"),
    AttackCase(8, "changing what the shared /dev/null is", by_tier("EROFS or EPERM", "UNCHANGED", "EROFS or EPERM", "EPERM"), "results = {changing(fd, lambda: os.fchmod(fd, 0)) for fd in (0, 1, 2)}\nassert len(results) == 1, results\nreturn results.pop()"),
    AttackCase(8, "changing the times of the shared /dev/null", by_tier("EROFS or EPERM or EACCES", "UNCHANGED or EACCES", "EROFS or EPERM or EACCES", "EPERM"), "results = {changing(fd, lambda: os.utime(fd, (1, 1))) for fd in (0, 1, 2)}\nassert len(results) == 1, results\nreturn results.pop()"),
    AttackCase(9, "a file of this user", HIDDEN, "return met(open, item['file'])"),
    AttackCase(9, "its folder", HIDDEN, "return met(os.listdir, item['folder'])"),
    AttackCase(9, "/etc/passwd", HIDDEN, "return met(open, '/etc/passwd')"),
    AttackCase(9, "other files below /etc", HIDDEN, "return all_met([(open, '/etc/' + name) for name in ('group', 'hosts', 'resolv.conf')])"),
    AttackCase(9, "keys of this user", HIDDEN, "return all_met([(open, item['folder'] + '/../' + os.path.basename(item['folder']) + '/secret'), (open, item['file'])])"),
    AttackCase(9, "the home folder", by_tier("ENOENT or EACCES", "EACCES", "ENOENT or EACCES or NOTHING", "EPERM"), """
for name in ('.ssh', '.bash_history', '.aws', '.netrc', '.gitconfig', '.profile', '.bashrc', '.cache', '.config'):
    assert met(os.listdir, os.path.join(item['home'], name)) != THROUGH, name
    assert met(open, os.path.join(item['home'], name)) != THROUGH, name
try:
    found = os.listdir(item['home'])
except OSError as error:
    return number(error.errno)
return NOTHING if len(found) <= 1 else THROUGH"""),
    AttackCase(9, "listing /", by_tier("EACCES", "EACCES", "NOTHING", "EPERM"), """
try:
    found = os.listdir('/')
except OSError as error:
    return number(error.errno)
assert not {'proc', 'sys', 'home', 'boot', 'var', 'opt'} & set(found), found
return NOTHING"""),
    AttackCase(9, "listing the folder of temporary files", by_tier("EACCES", "EACCES", "NOTHING", "EPERM"), """
import sys
parent = os.path.dirname(TMP) or '/tmp'
try:
    found = os.listdir(parent)
except OSError as error:
    return number(error.errno)
python = [path[len(parent) + 1:].partition('/')[0] for path in (*sys.path, sys.prefix) if path.startswith(parent + '/')]
assert set(found) <= {os.path.basename(TMP), *python}, found
return NOTHING"""),
    AttackCase(9, "through many ..", HIDDEN, "return met(open, '../' * 40 + item['file'][1:])"),
    AttackCase(9, "relative to a descriptor of /", HIDDEN, """
try:
    root = os.open('/', os.O_PATH | os.O_DIRECTORY)
except OSError as error:
    return number(error.errno)
return met(functools.partial(os.open, item['file'][1:], os.O_RDONLY, dir_fd=root))"""),
    AttackCase(9, "openat2", "EPERM or ENOSYS", "return met(call, 437, -100, item['file'].encode(), struct.pack('QQQ', 0, 0, 0), 24)"),
    AttackCase(9, "a copy by the kernel", HIDDEN, "return met(shutil.copyfile, item['file'], 'copy')"),
    AttackCase(9, "entering a folder and listing it", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "def act():\n    os.chdir(item['folder'])\n    os.listdir('.')\nreturn met(act)"),
    AttackCase(9, "extended attributes", by_tier("ENOENT", "EPERM or ENOTSUP", "ENOENT", "EPERM or ENOTSUP"), "return all_met([(os.listxattr, item['file']), (os.getxattr, item['file'], 'user.x')])"),
    AttackCase(9, "whether a file is there, and its size", by_tier("ENOENT", "THROUGH or EACCES", "ENOENT", "EPERM"), "return met(os.stat, item['file'])", known=(LANDLOCK,)),
    AttackCase(9, "services and sockets below /run and /var", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.listdir, '/run'), (os.listdir, '/var')])"),
    AttackCase(10, "os.environ", "NOTHING", "assert item['variable'] not in os.environ\nassert set(os.environ) <= {'HOME', 'LANG', 'LC_CTYPE', 'NLTK_DATA', 'TMPDIR', 'PYTHONHASHSEED', 'JE_ARROW_MALLOC_CONF', 'PYTHONDONTWRITEBYTECODE', 'JOBLIB_MULTIPROCESSING'} | {n for n in os.environ if n.endswith('_NUM_THREADS') or n in ('OPENBLAS_CORETYPE', 'OPENBLAS_L2_SIZE', 'NVPL_BLAS_DEBUG_CPU_TYPE')}, set(os.environ)\nreturn NOTHING"),
    AttackCase(10, "the C library's environment", "NOTHING", """
environ = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
at = 0
while environ[at]:
    assert b'SECRET' not in environ[at], environ[at]
    at += 1
return NOTHING"""),
    AttackCase(10, "/proc/self/environ", HIDDEN, "return met(open, '/proc/self/environ')"),
    AttackCase(10, "any trace of the secret in memory", "NOTHING", "assert not memory(rb'[S]ECRET-[0-9a-f]{32}')\nreturn NOTHING"),
    *(
        AttackCase(11, name, MAYBE, f"return met(open, {path}, 'rb')")
        for name, path in (
            ("the parent's environment", "f'/proc/{os.getppid()}/environ'"), ("the parent's memory", "f'/proc/{os.getppid()}/mem'"),
            ("the own memory", "'/proc/self/mem'"), ("the own maps", "'/proc/self/maps'"), ("process 1", "'/proc/1/status'"),
            ("the root of process 1", "'/proc/1/root/etc/passwd'"), ("the host's command line", "f'/proc/{item[\"host\"]}/cmdline'"),
            ("the host's memory", "f'/proc/{item[\"host\"]}/mem'"), ("the root of another process", "f'/proc/{item[\"victim\"]}/root/etc/passwd'"),
            ("mounts", "'/proc/self/mounts'"), ("settings of the kernel", "'/proc/sys/kernel/hostname'"), ("symbols of the kernel", "'/proc/kallsyms'"),
            ("the kernel's crash trigger", "'/proc/sysrq-trigger'"), ("control groups", "'/sys/fs/cgroup/cgroup.procs'"),
        )
    ),
    AttackCase(11, "listing /proc and /sys", HIDDEN, "return all_met([(os.listdir, '/proc'), (os.listdir, '/sys')])"),
    AttackCase(11, "links of another process", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.readlink, f'/proc/{item[\"victim\"]}/{name}') for name in ('exe', 'cwd', 'root')])"),
    AttackCase(11, "the descriptors of others by path", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return all_met([(os.open, f'/proc/{pid}/fd/{fd}', os.O_RDWR) for pid in (os.getppid(), item['host'], item['victim']) for fd in (0, 1, 2)])"),
    AttackCase(12, "a new file in another folder", HIDDEN, "return met(open, item['folder'] + '/new', 'w')"),
    AttackCase(12, "a new folder", HIDDEN, "return met(os.mkdir, item['folder'] + '/new')"),
    AttackCase(12, "an existing file", HIDDEN, "return met(open, item['file'], 'r+')"),
    AttackCase(12, "truncating by opening", by_tier("ENOENT", "EPERM or EACCES", "ENOENT", "EPERM"), "return met(os.open, item['file'], os.O_RDONLY | os.O_TRUNC)"),
    AttackCase(12, "truncating by path", by_tier("ENOENT", "EACCES or EPERM", "ENOENT", "EPERM"), "return met(os.truncate, item['file'], 0)"),
    AttackCase(12, "deleting", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "return met(os.unlink, item['file'])"),
    AttackCase(12, "deleting a folder", by_tier("ENOENT or EROFS", "EACCES or ENOTEMPTY", "ENOENT or EROFS", "EPERM"), "return met(os.rmdir, item['folder'])"),
    AttackCase(12, "the mode of a file of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['file'], lambda: os.chmod(item['file'], 0o777))"),
    AttackCase(12, "the mode of a folder of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['folder'], lambda: os.chmod(item['folder'], 0o777))"),
    AttackCase(12, "fchmodat2", "EPERM or ENOSYS", "return met(call, 452, -100, item['file'].encode(), 0o777, 0)"),
    AttackCase(12, "the times of a file of this user", by_tier("ENOENT", "UNCHANGED or EACCES", "ENOENT", "EPERM"), "return changing(item['file'], lambda: os.utime(item['file'], (1, 1)))"),
    AttackCase(12, "the owner of a file", "EPERM", "return all_met([(os.chown, item['file'], 0, 0), (os.lchown, item['file'], 0, 0), (os.fchown, 0, 0, 0)])"),
    AttackCase(12, "extended attributes of a file", "EPERM", "return all_met([(os.setxattr, item['file'], 'user.x', b'x'), (os.removexattr, item['file'], 'user.x')])"),
    AttackCase(12, "Python's library", READ_ONLY, "return met(open, json.__file__, 'a')"),
    AttackCase(12, "truncating Python's library by opening", by_tier("EROFS or EACCES", "EPERM or EACCES", "EROFS or EACCES", "EPERM"), "return met(os.open, json.__file__, os.O_RDONLY | os.O_TRUNC)"),
    AttackCase(12, "a module among Python's", READ_ONLY, "return met(open, os.path.dirname(json.__file__) + '/made.py', 'w')"),
    AttackCase(12, "compiled modules", READ_ONLY, "return met(open, os.path.dirname(json.__file__) + '/__pycache__/made.pyc', 'wb')"),
    AttackCase(12, "deleting from Python's library", READ_ONLY, "return met(os.unlink, json.__file__)"),
    AttackCase(12, "renaming Python's library", by_tier("EROFS or EACCES or EXDEV", "EACCES or EXDEV", "EROFS or EACCES or EXDEV", "EPERM"), "return met(os.rename, json.__file__, json.__file__ + '.old')"),
    AttackCase(12, "the mode of Python's library", by_tier("EROFS or EPERM", "UNCHANGED or EACCES", "EROFS or EPERM", "EPERM"), "return changing(json.__file__, lambda: os.chmod(json.__file__, 0o777))"),
    AttackCase(12, "the mode of Python's library by descriptor", by_tier("EROFS or EPERM", "UNCHANGED or EACCES", "EROFS or EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        os.fchmod(file.fileno(), 0o777)\nreturn changing(json.__file__, act)"),
    AttackCase(12, "attributes of Python's library", by_tier("EPERM", "EPERM", "EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        fcntl.ioctl(file.fileno(), 0x40086602, struct.pack('l', 0x10))\nreturn met(act)"),
    AttackCase(12, "a file in /, in /tmp, in /dev/shm", by_tier("EROFS or EACCES", "EACCES", "EROFS or EACCES", "EPERM"), "return all_met([(open, '/made', 'w'), (open, '/tmp/graders-attack-made', 'w')])"),
    AttackCase(13, "reading through a symbolic link", HIDDEN, "def act():\n    os.symlink(item['file'], 'link')\n    open('link')\nreturn met(act)"),
    AttackCase(13, "writing through a symbolic link", HIDDEN, "def act():\n    os.symlink(item['file'], 'link')\n    open('link', 'w')\nreturn met(act)"),
    AttackCase(13, "creating through a dangling link", HIDDEN, "def act():\n    os.symlink(item['folder'] + '/new', 'link')\n    open('link', 'w')\nreturn met(act)"),
    AttackCase(13, "a hard link to a file of this user", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "return met(os.link, item['file'], 'link')"),
    AttackCase(13, "a hard link to Python's library", by_tier("EXDEV or EACCES or EPERM", "EXDEV or EACCES or EPERM", "EXDEV or EPERM", "EPERM"), "return met(os.link, json.__file__, 'link')"),
    AttackCase(13, "a hard link by descriptor", by_tier("ENOENT or EXDEV or EPERM", "ENOENT or EXDEV or EACCES or EPERM", "ENOENT or EXDEV or EPERM", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        call((265, 37), file.fileno(), b'', -100, b'link', 0x1000)\nreturn met(act)"),
    AttackCase(13, "moving a file out", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "def act():\n    open('mine', 'w').close()\n    os.rename('mine', item['folder'] + '/new')\nreturn met(act)"),
    AttackCase(13, "moving a file in", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "return met(os.rename, item['file'], 'mine')"),
    AttackCase(13, "exchanging files", by_tier("ENOENT", "EXDEV or EACCES", "ENOENT", "EPERM"), "def act():\n    open('mine', 'w').close()\n    call((316, 276), -100, b'mine', -100, item['file'].encode(), 2)\nreturn met(act)"),
    AttackCase(13, "moving the own folder away", by_tier("EBUSY or EACCES or EROFS or EXDEV", "EACCES or EXDEV", "EBUSY or EACCES or EROFS or EXDEV", "EPERM"), "return met(os.rename, TMP, TMP + '-moved')"),
    AttackCase(13, "replacing the own folder by a link", by_tier("EBUSY or EACCES or EROFS", "EACCES", "EBUSY or EACCES or EROFS", "EPERM"), "def act():\n    os.rmdir(TMP)\n    os.symlink(item['folder'], TMP)\nreturn met(act)"),
    AttackCase(9, "above the own folder, by its descriptor", by_tier("ENOENT or EACCES", "EACCES", "ENOENT or EACCES", "EPERM"), "def act():\n    above = os.open('..', os.O_PATH)\n    for _ in range(9):\n        above = os.open('..', os.O_PATH, dir_fd=above)\n    os.open(item['file'][1:], os.O_RDONLY, dir_fd=above)\nreturn met(act)"),
    AttackCase(9, "a path as long as paths may be", here("ENAMETOOLONG or ENOENT or EACCES"), "return met(open, '/' * 3000 + item['file'] + '/..' * 400)"),
    AttackCase(9, "links that go round", here("ELOOP"), "def act():\n    os.symlink('b', 'a')\n    os.symlink('a', 'b')\n    open('a')\nreturn met(act)"),
    AttackCase(9, "handles of mounts", "EPERM", "return all_met([(call, (303, 264), -100, b'/', bytes(64), bytes(8), 0), (call, (304, 265), 0, bytes(64), 0)])"),
    AttackCase(12, "Python's library, mapped", by_tier("EACCES", "EACCES", "EACCES", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        mmap.mmap(file.fileno(), 100, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE)\nreturn met(act)"),
    AttackCase(12, "holes in Python's library", by_tier("EBADF", "EBADF", "EBADF", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        call((285, 47), file.fileno(), 3, 0, 100)\nreturn met(act)"),
    AttackCase(12, "copying into Python's library", by_tier("EBADF", "EBADF", "EBADF", "EPERM"), "def act():\n    with open(json.__file__) as file, open(re.__file__) as source:\n        os.copy_file_range(source.fileno(), file.fileno(), 10)\nreturn met(act)"),
    AttackCase(12, "the own descriptors, opened anew to write", by_tier("ENOENT", "EACCES", "ENOENT", "EPERM"), "def act():\n    with open(json.__file__) as file:\n        open(f'/proc/self/fd/{file.fileno()}', 'r+')\nreturn met(act)"),
]  # fmt: skip
