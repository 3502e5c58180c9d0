// The official Node client: run by the tests in a folder that has it installed.
//
//     node use_openai.mjs BASE_URL KEY < script.json > seen.json

import { readFileSync } from "node:fs";
import OpenAI, { APIError } from "openai";

const [url, key] = process.argv.slice(2);
const script = JSON.parse(readFileSync(0, "utf8"));
const version = JSON.parse(readFileSync("node_modules/openai/package.json", "utf8")).version;
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key });

const seen = (result) => ({
  reward: result.reward,
  flags: Object.entries(result.metadata.errors).filter(([, value]) => value === true).map(([name]) => name),
  sub_rewards: Object.keys(result.sub_rewards),
  keys: Object.keys(result),
  metadata_keys: Object.keys(result.metadata),
  request_id: result._request_id,
});

const refused = (error) => ({
  is_api_error: error instanceof APIError,
  class: error.constructor.name,
  status_code: error.status,
  code: error.code,
  param: error.param,
  type: error.type,
  request_id: error.requestID,
});

async function failure(call) {
  try {
    await call();
  } catch (error) {
    return refused(error);
  }
  return null;
}

const out = { version, results: {}, validated: {}, errors: {}, lost: {} };
const graders = client.fineTuning.alpha.graders;
for (const [name, request] of Object.entries(script.results)) {
  out.results[name] = seen(await graders.run(request));
  out.validated[name] = (await graders.validate({ grader: request.grader })).grader;
}
for (const [name, grader] of Object.entries(script.errors)) {
  out.errors[name] = [
    await failure(() => graders.run({ grader, model_sample: "x" })),
    await failure(() => graders.validate({ grader })),
  ];
}
const { data, response } = await graders.run(script.results.string_check).withResponse();
out.headers = { reward: data.reward, id: response.headers.get("x-request-id"), ms: response.headers.get("openai-processing-ms") };
out.impatient = seen(await graders.run(script.hanging, { timeout: 4000 }));
const stranger = new OpenAI({ baseURL: `${url}/v1`, apiKey: "wrong" });
out.lost["wrong key"] = await failure(() => stranger.fineTuning.alpha.graders.run(script.results.string_check));
process.stdout.write(JSON.stringify(out));
