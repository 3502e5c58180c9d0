"""NeMo Gym: a resources server. uvicorn --app-dir examples/adapters nemo_gym_server:app --port 8000"""

from pathlib import Path

from graders.adapters import nemo_gym

# the item's `answer` is the dataset row's field `expected_answer`
app = nemo_gym.app(Path(__file__).parent.parent / "answer.grader.json", item={"answer": "expected_answer"})

if __name__ == "__main__":  # what NeMo Gym would post
    from starlette.testclient import TestClient

    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Paris"}]}
    body = {
        "responses_create_params": {"input": "Capital of France?"},
        "response": {"object": "response", "output": [message]},
        "expected_answer": "Paris",
    }
    print(TestClient(app).post("/verify", json=body).json()["reward"])
