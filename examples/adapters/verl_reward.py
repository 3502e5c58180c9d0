"""verl: name this file in the trainer's configuration.

reward.custom_reward_function.path=examples/adapters/verl_reward.py reward.custom_reward_function.name=compute_score
"""

from pathlib import Path

from graders.adapters.verl import compute_score_of

# the item's `answer` is verl's ground truth
compute_score = compute_score_of(
    Path(__file__).parent.parent / "answer.grader.json", item={"answer": "ground_truth"}
)

if __name__ == "__main__":  # what verl would do with one response
    print(compute_score(data_source="examples", solution_str="Paris", ground_truth="Paris", extra_info={}))
