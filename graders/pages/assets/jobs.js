import { figure, make, visible } from "./dom.js";
import { count, statusOf, when } from "./charts.js";
import { link } from "./router.js";
import { call, download, read, Refused } from "./server.js";

// Fine-tuning jobs: a list, and a job's curves, events and checkpoints while it is under way.
const JOBS_PATH = "/v1/fine_tuning/jobs", JOB_LOOK_S = 2;
const ENDED_JOBS = new Set(["succeeded", "failed", "cancelled"]);
// Title of a picture -> the keys of its lines, of training and of validation.
const CURVES = [
  ["Loss", "train_loss", "valid_loss"],
  ["Token accuracy", "train_mean_token_accuracy", "valid_mean_token_accuracy"],
  ["Reward", "train_mean_reward", "full_valid_mean_reward"],
  ["Preference accuracy", "train_reward_accuracy", "valid_reward_accuracy"],
  ["Preference margin", "train_reward_margin", "valid_reward_margin"],
];

export async function jobsPage(view) {
  const list = make("tbody");
  const more = make("button", { type: "button", class: "quiet", click: () => load() }, "Older ones");
  let last = "";

  async function load() {
    const page = await read(`${JOBS_PATH}?limit=50${last ? "&after=" + last : ""}`);
    list.append(...page.data.map(jobRow));
    last = page.data.at(-1)?.id ?? last;
    more.hidden = !page.has_more;
  }

  view.root.append(make("h1", {}, "Fine-tuning jobs"));
  try {
    await load();
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 404) throw error;
    view.root.append(make("p", { class: "none" }, "This server takes no jobs: it was started without --tuning."));
    return;
  }
  const head = ["Job", "Model", "Status", "Method", "Created", "Trained tokens"].map(text => make("th", { scope: "col" }, text));
  view.root.append(make("div", { class: "card flush scroll", tabindex: "0", role: "region", "aria-label": "Jobs" },
    make("table", { class: "grid" }, make("thead", {}, make("tr", {}, head)), list), list.rows.length ? null : make("p", { class: "none" }, "No jobs yet.")), more);
}

function jobRow(job) {
  return make("tr", {}, make("th", { scope: "row" }, link("/jobs/" + job.id, visible(job.user_provided_suffix || job.id))), make("td", {}, visible(job.model)),
    make("td", {}, statusOf(job.status)), make("td", {}, job.method?.type ?? "–"), make("td", {}, when(job.created_at)), make("td", { class: "num" }, job.trained_tokens === null ? "–" : count(job.trained_tokens)));
}

export async function jobPage(view, jobId) {
  const path = `${JOBS_PATH}/${encodeURIComponent(jobId)}`;
  const body = make("div");
  let status;

  async function look() {
    const own = `/pages/jobs/${encodeURIComponent(jobId)}`;
    const [job, metrics, batches, events, checkpoints] = await Promise.all([
      read(path), read(own + "/metrics"), read(own + "/samples"), read(`${path}/events?limit=100`), read(`${path}/checkpoints?limit=100`)]);
    status = job.status;
    body.replaceChildren(...jobParts(job, metrics.data, batches.data, events.data, checkpoints.data, look));
  }

  await look();
  view.every(JOB_LOOK_S, () => { if (!ENDED_JOBS.has(status)) look(); });
  view.root.append(make("p", { class: "eyebrow" }, link("/jobs", "Jobs")), body);
}

function jobParts(job, metrics, batches, events, checkpoints, changed) {
  const path = `${JOBS_PATH}/${job.id}`;
  const act = (name, verb) => make("button", { type: "button", class: "quiet", click: async () => { await call("POST", `${path}/${verb}`).catch(() => null); await changed(); } }, name);
  const means = { running: [act("Pause", "pause"), act("Cancel", "cancel")], paused: [act("Resume", "resume"), act("Cancel", "cancel")], queued: [act("Cancel", "cancel")] }[job.status] ?? [];
  const facts = [job.model, job.method?.type, `seed ${job.seed}`, `created ${when(job.created_at)}`, job.finished_at && `finished ${when(job.finished_at)}`, job.fine_tuned_model].filter(Boolean);
  return [
    make("div", { class: "top" }, make("h1", {}, visible(job.user_provided_suffix || job.id)), make("span", { class: "actions" }, means)),
    make("p", {}, statusOf(job.status), make("span", { class: "soft small" }, " " + facts.map(visible).join(" · "))),
    job.error?.message ? make("pre", { class: "text bad" }, visible(job.error.message)) : null,
    make("section", {}, make("header", {}, make("h2", {}, "Curves")), curves(metrics)),
    batches.map(sampleTable),
    make("section", {}, make("header", {}, make("h2", {}, "Checkpoints")), checkpoints.length ? checkpointTable(checkpoints) : make("p", { class: "soft" }, "none yet")),
    job.result_files.length ? make("section", {}, make("header", {}, make("h2", {}, "Result files")), make("ul", { class: "plain" }, job.result_files.map(resultFile))) : null,
    make("section", {}, make("header", {}, make("h2", {}, "Events"), make("p", {}, "The newest first.")),
      make("pre", { class: "text log", tabindex: "0" }, events.map(one => make("div", { class: one.level === "error" ? "bad" : "" }, `${when(one.created_at)}  ${visible(one.message)}`)))),
  ].flat().filter(Boolean);
}

// The samples of the last batch; the item stands once for the samples of one prompt, which a step compares.
function sampleTable({ split, step, n_samples, samples }) {
  const graders = [...new Set(samples.flatMap(one => Object.keys(one.sub_rewards)))];
  const title = `Samples of ${split === "train" ? "training" : "validation"}, step ${count(step)}`;
  const head = ["Item", "Sample", "Reward", ...graders.map(visible)].map((name, n) => make("th", { scope: "col", class: n > 1 ? "num" : null }, name));
  const rows = samples.map((one, n) => make("tr", {}, make("td", {}, one.item === samples[n - 1]?.item ? "" : make("code", {}, visible(one.item))),
    make("td", {}, visible(one.sample)), make("td", { class: one.reward === null ? "num bad" : "num" }, one.reward === null ? visible(one.errors.join("; ")) : figure(one.reward)),
    graders.map(name => make("td", { class: "num" }, figure(one.sub_rewards[name] ?? null)))));
  return make("section", {}, make("header", {}, make("h2", {}, title), make("p", {}, `${count(samples.length)} of ${count(n_samples)}. One without a number could not be graded.`)),
    make("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": title }, make("table", { class: "figures samples" }, make("thead", {}, make("tr", {}, head)), make("tbody", {}, rows))));
}

function resultFile(id) {
  const path = `/v1/files/${encodeURIComponent(id)}`;
  const button = make("button", { type: "button", class: "quiet", click: () => download(path + "/content", button.textContent) }, id);
  read(path).then(file => { button.textContent = visible(file.filename); }, () => { button.disabled = true; });
  return make("li", {}, button);
}

function checkpointTable(checkpoints) {
  const names = [...new Set(checkpoints.flatMap(one => Object.keys(one.metrics)))].filter(name => name !== "step");
  return make("div", { class: "card scroll", tabindex: "0", role: "region", "aria-label": "Checkpoints" }, make("table", { class: "figures" },
    make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Step"), make("th", { scope: "col" }, "Model"), names.map(name => make("th", { scope: "col", class: "num" }, name.replaceAll("_", " "))))),
    make("tbody", {}, checkpoints.map(one => make("tr", {}, make("th", { scope: "row" }, count(one.step_number)), make("td", {}, make("code", {}, visible(one.fine_tuned_model_checkpoint))),
      names.map(name => make("td", { class: "num" }, figure(one.metrics[name] ?? null))))))));
}

// Pictures of the metrics that a job has, and of the reward of each grader.
function curves(metrics) {
  const gradersOf = one => one.scores?.graders ?? [];
  const graders = [...new Set(metrics.flatMap(one => gradersOf(one).map(grader => grader.name)))];
  const drawn = CURVES.map(([title, train, valid]) => curve(title, metrics, { training: one => one[train], validation: one => one[valid] }));
  const rewardOf = (one, name, key) => gradersOf(one).find(grader => grader.name === name && key in grader)?.[key];
  drawn.push(...graders.map(name => curve("Reward by " + visible(name), metrics, { training: one => rewardOf(one, name, "train_reward_mean"), validation: one => rewardOf(one, name, "valid_reward_mean") })));
  const some = drawn.filter(Boolean);
  return some.length ? make("div", { class: "curves" }, some) : make("p", { class: "soft" }, "No step yet.");
}

function curve(title, metrics, lines) {
  const found = Object.entries(lines).map(([name, value]) => ({ name, kind: name === "training" ? "train" : "valid", spots: metrics.map(one => [one.step, value(one)]).filter(([, y]) => Number.isFinite(y)) })).filter(line => line.spots.length);
  if (!found.length) return null;
  const xs = found.flatMap(line => line.spots.map(([x]) => x)), ys = found.flatMap(line => line.spots.map(([, y]) => y));
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const at = ([x, y]) => `${right > left ? (x - left) / (right - left) * 100 : 50},${high > low ? 98 - (y - low) / (high - low) * 96 : 50}`;
  const drawn = found.map(({ kind, spots }) => make("polyline", { class: "line " + kind, "vector-effect": "non-scaling-stroke", points: (spots.length > 1 ? spots : [spots[0], spots[0]]).map(at).join(" ") }));
  const said = found.map(({ name, spots }) => `${name} from ${figure(spots[0][1])} to ${figure(spots.at(-1)[1])}`).join(", ");
  return make("figure", { class: "card" }, make("h3", {}, title),
    make("svg", { class: "curve", viewBox: "0 0 100 100", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${said}` }, drawn),
    make("div", { class: "axis" }, make("span", {}, `step ${count(left)}`), make("span", {}, `${figure(low)} … ${figure(high)}`), make("span", {}, `step ${count(right)}`)),
    make("div", { class: "key" }, found.map(({ name, kind, spots }, n) => make("span", { class: n ? "also" : "" }, make("i", { class: kind }), `${name} ${figure(spots.at(-1)[1])}`))));
}
