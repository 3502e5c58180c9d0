// What users of the hosted Evals API do, by the official Node client: run by the tests where it is installed.
//
//     node scenarios.mjs BASE_URL KEY > seen.json

import OpenAI, { toFile } from "openai";

const [url, key] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const label = {
  type: "string_check", name: "Match", operation: "eq",
  input: "{{ sample.output_text }}", reference: "{{ item.correct_label }}",
};
const schema = { type: "object", properties: { q: { type: "string" }, correct_label: { type: "string" } } };

const made = await client.evals.create({
  name: "node",
  data_source_config: { type: "custom", item_schema: schema, include_sample_schema: true },
  testing_criteria: [label],
});
const lines = ["Hardware", "x", "Hardware"].map((text) => JSON.stringify({ item: { q: "a", correct_label: text } }));
const file = await client.files.create({ file: await toFile(Buffer.from(lines.join("\n")), "rows.jsonl"), purpose: "evals" });
const data_source = {
  type: "completions", model: "gpt-4o", source: { type: "file_id", id: file.id },
  input_messages: { type: "template", template: [{ role: "user", content: "{{item.q}}" }] },
};
let run = await client.evals.runs.create(made.id, { name: "run", data_source });
while (["queued", "in_progress"].includes(run.status)) {
  await pause(50);
  run = await client.evals.runs.retrieve(run.id, { eval_id: made.id });
}
const items = [];
for await (const item of client.evals.runs.outputItems.list(run.id, { eval_id: made.id, limit: 2 })) items.push(item.status);

const slow = await client.evals.runs.create(made.id, { data_source: { ...data_source, model: "slow" } });
const canceled = await client.evals.runs.cancel(slow.id, { eval_id: made.id });
const deleted = await client.evals.runs.delete(slow.id, { eval_id: made.id });
const gone = await client.evals.delete(made.id);
const missing = await client.evals.retrieve(made.id).catch((error) => error.status);

console.log(JSON.stringify({
  counts: run.result_counts, items, canceled: canceled.status, deleted: deleted.deleted, gone: gone.deleted, missing,
}));
