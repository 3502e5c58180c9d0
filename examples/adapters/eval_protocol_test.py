"""eval-protocol: a row's evaluation result from a grader. Inside a function under @evaluation_test:

row.evaluation_result = EvaluateResult(**evaluate(row))
"""

from pathlib import Path
from types import SimpleNamespace

from graders.adapters.eval_protocol import evaluator

evaluate = evaluator(Path(__file__).parent.parent / "answer.grader.json", item={"answer": "ground_truth"})

if __name__ == "__main__":  # a row as eval-protocol makes them
    row = SimpleNamespace(messages=[{"role": "assistant", "content": "Paris"}], ground_truth="Paris")
    print(evaluate(row))
