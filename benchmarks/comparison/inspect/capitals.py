from inspect_ai import Task, task
from inspect_ai.dataset import Sample, json_dataset
from inspect_ai.model import ModelOutput
from inspect_ai.scorer import exact, model_graded_fact
from inspect_ai.solver import solver


@solver
def recorded():
    async def solve(state, generate):
        state.output = ModelOutput.from_content("recorded", state.metadata["output"])
        return state

    return solve


def sample(row):
    return Sample(input=row["question"], target=row["answer"], id=row["id"], metadata=row)


@task
def capitals():
    rows = json_dataset("../rows.jsonl", sample)
    return Task(
        dataset=rows, solver=recorded(), scorer=[exact(), model_graded_fact(model="openai-api/local/judge")]
    )
