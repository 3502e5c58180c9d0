import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from autoevals import ExactMatch, Factuality
from openai import OpenAI

ROWS = [json.loads(line) for line in (Path(__file__).parents[1] / "rows.jsonl").read_text().splitlines()]
client = OpenAI(base_url="http://127.0.0.1:8391/v1", api_key="none")
judge = Factuality(client=client, model="judge")


def grade(row):
    exact = ExactMatch()(output=row["output"], expected=row["answer"])
    try:
        judged = judge(input=row["question"], output=row["output"], expected=row["answer"])
        return row["id"], exact.score, judged.score, judged.error
    except Exception as error:
        return row["id"], exact.score, None, error


with ThreadPoolExecutor(10) as pool:
    results = list(pool.map(grade, ROWS))
for row_id, exact, judged, error in results:
    if exact != 1 or judged != 1:
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
