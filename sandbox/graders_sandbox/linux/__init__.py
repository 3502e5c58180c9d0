"""Linux's protections by ctypes: raw calls, Landlock, seccomp, namespaces. For x86_64 and aarch64."""
