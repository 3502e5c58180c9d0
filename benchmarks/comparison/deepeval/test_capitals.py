import json
from pathlib import Path

import pytest
from deepeval import assert_test
from deepeval.metrics import ExactMatchMetric, GEval
from deepeval.models import GPTModel
from deepeval.test_case import LLMTestCase, LLMTestCaseParams

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "rows.jsonl").read_text().splitlines()]
MODEL = GPTModel(model="gpt-4.1", base_url="http://127.0.0.1:8391/v1", api_key="none")


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
def test_capital(row):
    case = LLMTestCase(input=row["question"], actual_output=row["output"], expected_output=row["answer"])
    parts = [LLMTestCaseParams.INPUT, LLMTestCaseParams.ACTUAL_OUTPUT, LLMTestCaseParams.EXPECTED_OUTPUT]
    judge = GEval(
        name="right",
        evaluation_steps=["Is the output the expected answer?"],
        evaluation_params=parts,
        model=MODEL,
    )
    assert_test(case, [ExactMatchMetric(), judge])
