"""Linux's own protections through ctypes: raw calls, Landlock, seccomp, namespaces. x86_64 and aarch64."""
