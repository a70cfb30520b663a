"""What a process may reach that reads files of strangers: decoders, imports, training.

A decoder that a hostile file has taken over could read secrets and send them away. So such a process

- has an environment of listed variables: no address of a database or a broker, no key;
- reads no environment, memory or open file of another process (a Landlock domain: the kernel lets nobody in one inspect
  a process outside of it, the superuser included);
- has no network (a seccomp filter: the only sockets are Unix ones, by which processes of one machine talk).

No privilege is needed for either. The kernel may have neither, or a container's profile may refuse them; `possible`
says what there is. The other ways to take a network away are worse: an unprivileged user namespace (`unshare`) is
refused in containers and by current distributions, and Landlock's own rules, since Linux 6.7, know TCP only. Packages
exist, but `pyseccomp` needs a C library and was last released in 2021, and `landlock` has had no stable version.

This file is also the launcher: run as a script it confines itself and becomes the command, before there is any thread
which a Landlock domain would not hold for. As a launcher it must import the standard library only.
"""

import ctypes
import errno
import json
import logging
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMES = frozenset(
    {
        *("PATH", "HOME", "USER", "TMPDIR", "XDG_CACHE_HOME"),  # where programs, caches and temporary files are
        *("LANG", "LANGUAGE", "TZ"),
        *("LD_LIBRARY_PATH", "LD_PRELOAD"),  # CUDA beside the system's; another allocator
        *("VIRTUAL_ENV", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    }
)
_PREFIXES = (
    *("LC_", "PYTHON", "MALLOC_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "BLIS_", "NUMEXPR_"),  # threads of numerical libraries
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "TORCH", "PYTORCH_", "TRITON_"),  # TORCH_HOME and TORCHINDUCTOR_… too
    "HF_",  # where the weights from the hub lie, and whether it may be asked
    "FAULT_",  # app/domain/failpoints.py
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
"""Only for who fetches weights from the hub: the address of a proxy may hold a password."""
_SECRET = ("TOKEN", "SECRET", "PASSW", "CREDENTIAL", "KEY")
"""In a name: never passed on, whatever it begins with. `HF_TOKEN`, for one."""

NETWORK, OFFLINE, _PROBE = "network", "offline", "probe"

_PR_SET_NO_NEW_PRIVS = 38
_MACHINES = {"x86_64": (0xC000003E, 41, 317), "aarch64": (0xC00000B7, 198, 277)}
"""What seccomp calls the machine, and the numbers of `socket` and `seccomp` there."""
_IO_URING_SETUP = 425
_SET_MODE_FILTER, _ALL_THREADS = 1, 1
_ALLOW, _FAIL_WITH = 0x7FFF0000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_FOREIGN_NUMBERS = 0x40000000
_AF_UNIX = 1
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_PR_CAPBSET_DROP = 24
_PRIVILEGES = {"CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38}
"""The superuser's, which open other processes' memory past every rule."""
_MAKE_DEVICES, _MOVE_BETWEEN_FOLDERS = 1 << 6 | 1 << 11, 1 << 13


def environment(given: Mapping[str, str] = os.environ, *, proxies: bool = False) -> dict[str, str]:
    """Of `given`, what a confined process gets."""
    return {name: value for name, value in given.items() if _is_listed(name, proxies)}


def confined(command: Sequence[str], *, network: bool = False) -> list[str]:
    """The command that starts `command` confined; with `network`, it gives that up itself (`close_network`)."""
    if sys.platform != "linux":
        return list(command)
    return [sys.executable, "-I", "-S", __file__, NETWORK if network else OFFLINE, *command]


def possible() -> dict[str, bool]:
    """Whether this machine can keep a process from `other processes`, and from the `network`."""
    if sys.platform != "linux":
        return {"other processes": False, "network": False}
    probe = [sys.executable, "-I", "-S", __file__, _PROBE]
    found: dict[str, bool] = json.loads(subprocess.run(probe, check=True, capture_output=True).stdout)
    return found


def tell(*, confine: bool) -> None:
    """Log what programs that read uploads can be kept from on this machine."""
    log = logging.getLogger(__name__)
    able = possible()
    lacking = ", ".join(what for what, kept_from in able.items() if not kept_from)
    if not confine:
        log.warning("TDMR_CONFINE is off: programs that read uploads reach the network and other processes")
    elif lacking:
        log.warning("this machine cannot keep programs that read uploads from: %s", lacking)
    else:
        log.info("programs that read uploads reach no network and no other process")


def close_network() -> bool:
    """From now on no thread of this process, and nothing that it starts, opens a socket but Unix ones. Those that are
    open stay. Returns whether it was possible."""
    if sys.platform != "linux" or platform.machine() not in _MACHINES:
        return False
    architecture, socket_number, seccomp_number = _MACHINES[platform.machine()]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 0, 8, architecture),  # else: a 32-bit program, whose calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 6, 0, _FOREIGN_NUMBERS),
        (_EQUAL, 5, 0, _IO_URING_SETUP),  # its operations are no calls, so that no filter sees them
        (_EQUAL, 0, 2, socket_number),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_EQUAL, 0, 1, _AF_UNIX),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL_WITH | errno.EACCES),
        (_RETURN, 0, 0, _FAIL_WITH | errno.ENOSYS),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("H6xP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.syscall(seccomp_number, _SET_MODE_FILTER, _ALL_THREADS, program) == 0)


def hide_processes() -> bool:
    """The program that this thread becomes, and all that it starts, inspects no process outside. Returns whether it was
    possible."""
    # A domain must deny something, and this one denies device files, which nobody makes. Landlock denies moving files
    # between folders with it unless that is allowed, which its first version could not.
    libc = ctypes.CDLL(None)
    for privilege in _PRIVILEGES.values():
        libc.prctl(_PR_CAPBSET_DROP, privilege, 0, 0, 0)  # who does not have them may not give them up either
    handled = struct.pack("Q", _MAKE_DEVICES | _MOVE_BETWEEN_FOLDERS)
    ruleset = libc.syscall(_CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        return False
    root = os.open("/", os.O_PATH)
    try:
        everywhere = struct.pack("=Qi", _MOVE_BETWEEN_FOLDERS, root)
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(
            libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, everywhere, 0) == 0
            and libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
        )
    finally:
        os.close(root)
        os.close(ruleset)


def _is_listed(name: str, proxies: bool) -> bool:
    if any(word in name.upper() for word in _SECRET):
        return False
    return name in _NAMES or name.startswith(_PREFIXES) or (proxies and name.upper() in _PROXIES)


def _launch(how: str, command: Sequence[str]) -> None:
    """Confine this process and turn it into `command`. Does not return."""
    hidden, offline = hide_processes(), how != NETWORK and close_network()
    if how == _PROBE:
        sys.stdout.write(json.dumps({"other processes": hidden, "network": offline}))
        return
    try:
        os.execvp(command[0], list(command))  # noqa: S606 (no shell is the point)
    except OSError as error:
        sys.exit(f"{Path(command[0]).name} cannot be started: {error.strerror}")


if __name__ == "__main__":
    _launch(sys.argv[1], sys.argv[2:])
