"""1 where the last number of the output is that of the answer, whatever stands around it."""

import re

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text):
    found = NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def grade(sample, item):
    # sample["output_text"] is the model's output; item has the row's other fields
    got = last_number(sample["output_text"])
    return 1.0 if got is not None and got == last_number(item["answer"]) else 0.0
