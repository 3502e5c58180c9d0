import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from langchain_openai import ChatOpenAI
from openevals.exact import exact_match
from openevals.llm import create_llm_as_judge
from openevals.prompts import CORRECTNESS_PROMPT

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "rows.jsonl").read_text().splitlines()]
model = ChatOpenAI(base_url="http://127.0.0.1:8391/v1", api_key="none", model="judge")
judge = create_llm_as_judge(prompt=CORRECTNESS_PROMPT, feedback_key="right", judge=model)


def grade(row):
    exact = exact_match(outputs=row["output"], reference_outputs=row["answer"])
    try:
        judged = judge(inputs=row["question"], outputs=row["output"], reference_outputs=row["answer"])
        return row["id"], exact["score"], judged["score"], ""
    except Exception as error:
        return row["id"], exact["score"], None, error


with ThreadPoolExecutor(10) as pool:
    results = list(pool.map(grade, ROWS))
for row_id, exact, judged, error in results:
    if not exact or not judged:
        print(row_id, exact, judged, repr(error)[:200])
scored = [judged for _, _, judged, _ in results if judged is not None]
print(
    "exact",
    sum(exact for _, exact, _, _ in results) / len(results),
    "judge",
    sum(scored) / len(scored),
    "of",
    len(scored),
)
