"""Evals, their runs and output items: the hosted service's Evals API, free of HTTP.

    with Store() as store, Backends() as backends:
        evals = Evals(store, backends)
        made = evals.create({"data_source_config": {...}, "testing_criteria": [...]})
        run = evals.create_run(made.id, {"data_source": {...}})
        execute(evals, run.id)

The server gives these operations paths, the command line gives them names.
"""

from __future__ import annotations
