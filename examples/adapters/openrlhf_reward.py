"""OpenRLHF: --reward.remote_url examples/adapters/openrlhf_reward.py, or as a server:

uvicorn --app-dir examples/adapters openrlhf_reward:app --port 5000      and --reward.remote_url http://127.0.0.1:5000
"""

from pathlib import Path

from graders.adapters import openrlhf

SPEC = Path(__file__).parent.parent / "answer.grader.json"

reward_func = openrlhf.reward_func_of(SPEC, item={"answer": "label"})
app = openrlhf.app(SPEC, item={"answer": "label"})

if __name__ == "__main__":  # what OpenRLHF would post
    from starlette.testclient import TestClient

    body = {"query": ["Capital of France? Paris"], "prompts": ["Capital of France? "], "labels": ["Paris"]}
    print(TestClient(app).post("/get_reward", json=body).json())
