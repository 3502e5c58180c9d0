"""The official Python client, sync and async: run by the tests with whatever version its interpreter has.

python use_openai.py BASE_URL KEY < script.json > seen.json
"""

import asyncio
import inspect
import json
import sys

import openai
from pydantic import BaseModel


def unknown_and_missing(model, path=""):
    """Fields of a typed response that its type does not have, or that did not come.

    `metadata.errors` may have more: the live service sends keys there that no client's type names.
    """
    # the client keeps these as extras too
    aliases = {field.alias for field in type(model).model_fields.values()}
    extra = {} if path == "metadata.errors." else model.model_extra or {}
    found = [f"unknown {path}{name}" for name in extra if name not in aliases]
    found += [
        f"missing {path}{name}" for name in type(model).model_fields if name not in model.model_fields_set
    ]
    for name in model.model_fields_set:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            found += unknown_and_missing(value, f"{path}{name}.")
    return found


def seen(response):
    body = response.model_dump(mode="json", by_alias=True, warnings=False)
    return {
        "reward": response.reward,
        "flags": [name for name, value in body["metadata"]["errors"].items() if value is True],
        "sub_rewards": list(response.sub_rewards),
        "fields": unknown_and_missing(response),
        "request_id": response._request_id,
        "token_usage": body["metadata"]["token_usage"],
        "sampled_model_name": response.metadata.sampled_model_name,
    }


def refused(error):
    return {
        "class": type(error).__name__,
        "status_code": error.status_code,
        "code": error.code,
        "param": error.param,
        "type": error.type,
        "message": error.body["message"],
        "request_id": error.request_id,
    }


async def use(client, script):
    graders = client.fine_tuning.alpha.graders
    out = {"results": {}, "validated": {}, "errors": {}}

    async def call(method, **arguments):
        answer = method(**arguments)
        return await answer if inspect.isawaitable(answer) else answer

    for name, arguments in script["results"].items():
        out["results"][name] = seen(await call(graders.run, **arguments))
        validated = await call(graders.validate, grader=arguments["grader"])
        out["validated"][name] = validated.to_dict()["grader"]
    for name, grader in script["errors"].items():
        for method, more in ((graders.run, {"model_sample": "x"}), (graders.validate, {})):
            try:
                await call(method, grader=grader, **more)
            except openai.APIStatusError as error:
                out["errors"].setdefault(name, []).append(refused(error))
    return out


async def main():
    url, key = sys.argv[1:]
    script = json.load(sys.stdin)
    bad = {"default_headers": {"Content-Type": "text/plain"}}
    lost = {}
    for name, client in {
        "wrong key": openai.OpenAI(base_url=f"{url}/v1", api_key="wrong"),
        "wrong path": openai.OpenAI(base_url=f"{url}/v2", api_key=key),
        "wrong type": openai.OpenAI(base_url=f"{url}/v1", api_key=key, **bad),
    }.items():
        try:
            client.fine_tuning.alpha.graders.run(**script["results"]["string_check"])
        except openai.APIStatusError as error:
            lost[name] = refused(error)
    azure = openai.AzureOpenAI(azure_endpoint=url, api_key=key, api_version="2025-04-01-preview")
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client:
        out = {
            "version": openai.__version__,
            "sync": await use(openai.OpenAI(base_url=f"{url}/v1", api_key=key), script),
            "async": await use(client, script),
            "azure": seen(azure.fine_tuning.alpha.graders.run(**script["results"]["python"])),
            "azure v1": seen(
                openai.OpenAI(base_url=f"{url}/openai/v1/", api_key=key).fine_tuning.alpha.graders.run(
                    **script["results"]["python"]
                )
            ),
            "impatient": seen(
                openai.OpenAI(base_url=f"{url}/v1", api_key=key, timeout=4).fine_tuning.alpha.graders.run(
                    **script["hanging"]
                )
            ),
            "lost": lost,
        }
    json.dump(out, sys.stdout)


asyncio.run(main())
