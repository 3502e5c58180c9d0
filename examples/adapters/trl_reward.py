"""TRL: GRPO with a grader as its reward. Needs trl, a model and a dataset with columns `prompt` and `answer`.

python examples/adapters/trl_reward.py MODEL
"""

import json
import sys
from pathlib import Path

from graders.adapters.trl import reward_func

EXAMPLES = Path(__file__).parent.parent

# the item's `answer` is the dataset's column `answer`
reward = reward_func(EXAMPLES / "answer.grader.json", item={"answer": "answer"})

if __name__ == "__main__":
    rows = [json.loads(line)["item"] for line in (EXAMPLES / "answers.jsonl").open(encoding="utf-8")]
    if len(sys.argv) < 2:  # what TRL would do with two completions
        print(
            reward(
                prompts=[rows[0]["question"]] * 2,
                completions=["Paris", "Rome"],
                answer=[rows[0]["answer"]] * 2,
            )
        )
        sys.exit()

    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    data = Dataset.from_list([{"prompt": row["question"], "answer": row["answer"]} for row in rows])
    GRPOTrainer(
        model=sys.argv[1], reward_funcs=reward, args=GRPOConfig(output_dir="grpo"), train_dataset=data
    ).train()
