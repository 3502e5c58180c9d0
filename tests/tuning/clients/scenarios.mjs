// What users do with fine-tuning jobs, by the official client: node scenarios.mjs URL WAITING_URL
// The second server's jobs train until they are told to stop.
import fs from 'node:fs';
import OpenAI, { BadRequestError, NotFoundError } from 'openai';

const options = { apiKey: 'none', adminAPIKey: 'none', maxRetries: 0 };
const client = new OpenAI({ ...options, baseURL: `${process.argv[2]}/v1` });
const waiting = new OpenAI({ ...options, baseURL: `${process.argv[3]}/v1` });
const model = 'gpt-4o-mini';
const jobs = client.fineTuning.jobs;

const lines = (name, rows) => fs.writeFileSync(name, rows.map((row) => JSON.stringify(row)).join('\n'));
const user = (n) => [{ role: 'user', content: `q${n}` }];
const ten = (row) => Array.from({ length: 10 }, (_, n) => row(n));
lines('chat.jsonl', ten((n) => ({ messages: [...user(n), { role: 'assistant', content: 'a' }] })));
lines('held_out.jsonl', ten((n) => ({ messages: [...user(n + 100), { role: 'assistant', content: 'a' }] })));
lines('completions.jsonl', ten((n) => ({ prompt: `p${n}`, completion: ' c' })));
lines('pairs.jsonl', ten((n) => ({ messages: user(n), preferred: { content: 'a' }, dispreferred: { content: 'b' } })));
lines('prompts.jsonl', ten((n) => ({ messages: user(n) })));

async function upload(name, on = client) {
  return (await on.files.create({ file: fs.createReadStream(name), purpose: 'fine-tune' })).id;
}

async function ended(job, statuses = ['succeeded', 'failed', 'cancelled']) {
  while (!statuses.includes(job.status)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    job = await jobs.retrieve(job.id);
  }
  return job;
}

const made = [];
async function create(body) {
  const job = await jobs.create({ model, ...body });
  made.push(job.id);
  return ended(job);
}

const seen = {};
const chat = await upload('chat.jsonl');
const heldOut = await upload('held_out.jsonl');

const supervised = await create({
  training_file: chat, validation_file: heldOut, suffix: 'my-fine-tuned-model', seed: 42,
  method: { type: 'supervised', supervised: { hyperparameters: { batch_size: 8, learning_rate_multiplier: 1.0, n_epochs: 3 } } },
  metadata: { project: 'chatbot-v2', environment: 'production' },
});
seen.supervised = [supervised.status, supervised.error, supervised.fine_tuned_model.startsWith('ft:gpt-4o-mini:local:my-fine-tuned-model:')];

const dpo = await create({
  training_file: await upload('pairs.jsonl'),
  method: { type: 'dpo', dpo: { hyperparameters: { batch_size: 16, beta: 0.1, learning_rate_multiplier: 0.5, n_epochs: 1 } } },
});
seen.dpo = [dpo.status, dpo.method.dpo.hyperparameters.beta];

const reinforcement = await create({
  training_file: await upload('prompts.jsonl'),
  method: {
    type: 'reinforcement',
    reinforcement: {
      grader: { type: 'string_check', name: 'string-check-grader', input: '{{ sample.output }}', operation: 'eq', reference: 'expected_output' },
      hyperparameters: { batch_size: 'auto', n_epochs: 2, learning_rate_multiplier: 0.8, eval_interval: 100, eval_samples: 50 },
    },
  },
});
seen.reinforcement = reinforcement.status;
seen.completions = (await create({ training_file: await upload('completions.jsonl') })).status;

const events = [];
for await (const event of jobs.listEvents(supervised.id, { limit: 3 })) events.push(event);
seen.events = [events.length > 10, new Set(events.map((event) => event.id)).size === events.length];
seen.page = (await jobs.listEvents(supervised.id, { limit: 10 })).data.length;
seen.validating = events.filter((event) => event.type === 'metrics' && event.data?.validating).length;

const checkpoints = [];
for await (const checkpoint of jobs.checkpoints.list(supervised.id, { limit: 1 })) checkpoints.push(checkpoint);
const best = checkpoints.reduce((one, other) => ((other.metrics.valid_loss || 0) < (one.metrics.valid_loss || 0) ? other : one));
seen.best = [checkpoints.length, best.step_number];
const answer = await client.chat.completions.create({
  model: best.fine_tuned_model_checkpoint, messages: [{ role: 'user', content: 'Hello' }],
});
seen.chat = answer.choices[0].message.content;
let streamed = '';
for await (const chunk of await client.chat.completions.create({
  model: supervised.fine_tuned_model, messages: [{ role: 'user', content: 'Hello' }], stream: true,
})) streamed += chunk.choices[0]?.delta?.content ?? '';
seen.streamed = streamed;

const production = [];
for await (const job of await jobs.list({ limit: 1, metadata: { environment: 'production' } })) production.push(job.metadata?.project);
seen.production = production;

const wandb = { project: 'openai-fine-tuning', entity: 'my-team', name: 'gpt4-mini-v1', tags: ['production'] };
const monitored = await create({ training_file: chat, integrations: [{ type: 'wandb', wandb }] });
seen.integrations = monitored.integrations;

const configurations = ['conservative', 'balanced', 'aggressive'];
const workflow = await Promise.all(configurations.map((name) => jobs.create({ model, training_file: chat, suffix: `tune-${name}` })));
seen.workflow = workflow.map((job) => job.status);
seen.bulk = (await Promise.all(workflow.map((job) => ended(job)))).map((job) => job.status);

const held = await waiting.fineTuning.jobs.create({ model, training_file: await upload('chat.jsonl', waiting) });
seen.controlled = [];
for (const action of ['pause', 'resume', 'cancel']) seen.controlled.push((await waiting.fineTuning.jobs[action](held.id)).status);

const permissions = client.fineTuning.checkpoints.permissions;
const name = best.fine_tuned_model_checkpoint;
const granted = [];
for await (const one of permissions.create(name, { project_ids: ['p1', 'p2'] })) granted.push(one);
// deprecated for `list` in newer clients; the same request
const found = permissions.list ? (await permissions.list(name)).data : (await permissions.retrieve(name)).data;
const gone = await permissions.delete(granted[0].id, { fine_tuned_model_checkpoint: name });
seen.permissions = [granted.length, found.length, gone.deleted];

seen.errors = [];
for (const wrong of [() => jobs.create({ model, training_file: 'file-123' }), () => jobs.retrieve('ft-123')]) {
  try {
    await wrong();
  } catch (error) {
    seen.errors.push(error instanceof BadRequestError ? 'bad' : error instanceof NotFoundError ? 'missing' : String(error));
  }
}
console.log(JSON.stringify(seen));
