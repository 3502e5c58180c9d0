"""Evals, runs and output items: the operations of the hosted service's Evals API, without HTTP.

    with Store() as store, Backends() as backends:
        evals = Evals(store, backends)
        made = evals.create({"data_source_config": {...}, "testing_criteria": [...]})
        run = evals.create_run(made.id, {"data_source": {...}})
        execute(evals, run.id)

The server and the command line call these operations.
"""

from __future__ import annotations
